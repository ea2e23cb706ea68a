"""Where a face and a voice agree, and what they say together."""

from __future__ import annotations

import json
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import core
from core.errors import DuetError
from core.fusion import (
    METHODS,
    FusionRule,
    agreement,
    agreement_sentence,
    certainty,
    fusion_rule,
    join,
    meant_given_answer,
)
from core.labels import EMOTIONS
from core.results import Box, FaceResult, ImageResult, Prediction, VoiceResult

SEVEN = len(EMOTIONS)


@st.composite
def distributions(draw):
    values = np.array(draw(st.lists(st.floats(0, 1), min_size=SEVEN, max_size=SEVEN))) + 1e-9
    return values / values.sum()


rules = st.builds(
    FusionRule,
    method=st.sampled_from(METHODS),
    face=st.floats(0.1, 2),
    voice=st.floats(0.1, 2),
    confusion=st.floats(0, 1),
    sharpness=st.floats(0, 2),
)
confusions = st.lists(st.integers(0, 500), min_size=49, max_size=49).map(
    lambda counts: meant_given_answer(np.reshape(counts, (SEVEN, SEVEN)))
)


def peaked(emotion: str, p: float = 0.94) -> np.ndarray:
    values = np.full(SEVEN, (1 - p) / (SEVEN - 1))
    values[EMOTIONS.index(emotion)] = p
    return values


def prediction(emotion: str, p: float = 0.94) -> Prediction:
    return Prediction(tuple(peaked(emotion, p).tolist()))


@given(distributions(), distributions(), rules, confusions, confusions)
def test_fused_is_a_distribution_and_weights_are_shares(face, voice, rule, a, b):
    fused, weight = join(face, voice, rule, a, b)
    assert fused.shape == (SEVEN,)
    assert np.isfinite(fused).all()
    assert (fused >= 0).all()
    assert fused.sum() == pytest.approx(1)
    assert 0 <= weight <= 1


@given(distributions(), distributions(), st.sampled_from(METHODS), st.floats(0, 2))
def test_sides_can_be_swapped(face, voice, method, sharpness):
    rule = FusionRule(method, sharpness=sharpness)
    one, weight = join(face, voice, rule)
    other, swapped = join(voice, face, rule)
    np.testing.assert_allclose(one, other, atol=1e-9)
    assert weight == pytest.approx(1 - swapped)


@given(distributions(), rules)
def test_two_sides_of_one_opinion_keep_the_answer(belief, rule):
    fused, _ = join(belief, belief, FusionRule(rule.method, sharpness=rule.sharpness))
    assert fused[belief.argmax()] == pytest.approx(fused.max())


@given(rules.filter(lambda rule: rule.method != "average"), st.sampled_from(EMOTIONS))
def test_a_side_that_knows_nothing_does_not_change_the_answer(rule, emotion):
    fused, weight = join(peaked(emotion), np.full(SEVEN, 1 / SEVEN), rule)
    assert EMOTIONS[fused.argmax()] == emotion
    if rule.sharpness > 0.5 and rule.face == rule.voice:
        assert weight > 0.5


def test_the_more_certain_side_weighs_more():
    rule = FusionRule("certainty", sharpness=1.0)
    fused, weight = join(peaked("happy", 0.95), peaked("sad", 0.45), rule)
    assert weight > 0.6
    assert EMOTIONS[fused.argmax()] == "happy"


def test_a_known_confusion_lets_the_other_side_decide():
    counts = np.eye(SEVEN) * 100
    fear, surprise = EMOTIONS.index("fear"), EMOTIONS.index("surprise")
    counts[fear, surprise], counts[fear, fear] = 90, 10  # fear is mostly taken for surprise
    meant = meant_given_answer(counts)
    rule = FusionRule("certainty+confusion", confusion=0.5)
    plain, _ = join(peaked("surprise", 0.7), peaked("fear", 0.5), rule)
    knowing, _ = join(peaked("surprise", 0.7), peaked("fear", 0.5), rule, face_meant=meant)
    assert knowing[fear] > plain[fear]


def test_meant_given_answer_has_rows_that_sum_to_one_and_ignores_how_rare_an_emotion_is():
    counts = np.diag([1, 10, 100, 1000, 10, 10, 10])
    meant = meant_given_answer(counts)
    np.testing.assert_allclose(meant.sum(axis=1), 1)
    np.testing.assert_allclose(meant.diagonal(), meant[0, 0])


def test_certainty_runs_from_even_to_one_hot():
    assert certainty(np.full(SEVEN, 1 / SEVEN)) == pytest.approx(0, abs=1e-9)
    assert certainty(np.eye(SEVEN)[0]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("face", "voice", "kind"),
    [
        ("happy", "happy", "exact"),
        ("angry", "sad", "tone"),
        ("surprise", "happy", "tone"),
        ("fear", "surprise", "tone"),
        ("surprise", "neutral", "tone"),
        ("happy", "angry", "none"),
        ("neutral", "sad", "none"),
        ("neutral", "happy", "none"),
    ],
)
def test_agreement_by_emotion_and_by_tone(face, voice, kind):
    one, other = prediction(face), prediction(voice)
    assert agreement(one.label, other.label) == agreement(other.label, one.label) == kind
    sentence = agreement_sentence(one, other)
    assert sentence.endswith(".")
    assert "agree" in sentence
    assert ("disagree" in sentence) == (kind == "none")


@pytest.mark.parametrize(
    ("face", "voice", "words"),
    [
        (("sad", 0.8), ("sad", 0.8), "agree: both seem sad."),
        (("sad", 0.4), ("sad", 0.4), "may agree: both may be sad."),
        (("sad", 0.8), ("sad", 0.4), "may agree: the face seems sad, and the voice may be too."),
        (
            ("fear", 0.4),
            ("fear", 0.8),
            "may agree: the voice seems fearful, and the face may be too.",
        ),
        (("sad", 0.8), ("happy", 0.8), "disagree: the face seems sad, the voice happy."),
        (("sad", 0.4), ("happy", 0.4), "may disagree: the face may be sad, the voice happy."),
        (("sad", 0.4), ("happy", 0.8), "may disagree: the face may be sad, the voice seems happy."),
        (
            ("sad", 0.8),
            ("angry", 0.4),
            "may agree in tone only: the face seems sad, the voice may be angry; both feelings are "
            "negative.",
        ),
    ],
)
def test_agreement_is_said_no_more_certainly_than_its_sides(face, voice, words):
    found = agreement_sentence(prediction(*face), prediction(*voice))
    assert found == f"Face and voice {words}"


def test_rule_comes_from_the_models_folder(tmp_path):
    assert fusion_rule(tmp_path / "nothing").method == "product"
    good, bad = tmp_path / "good", tmp_path / "bad"
    for folder in (good, bad):
        folder.mkdir()
    (good / "fusion.json").write_text(json.dumps({"rule": {"method": "certainty", "voice": 0.5}}))
    assert fusion_rule(good) == FusionRule("certainty", voice=0.5)
    rules = ('"x"', "null", "NaN", "Infinity", "-1", "1e9")
    wrong = [f'{{"rule": {{"face": {value}}}}}' for value in rules]
    for content in ("{}", '{"rule": {"confusion": 5}}', "[" * 100_000, *wrong):
        (bad / "fusion.json").write_text(content)
        with pytest.raises(DuetError) as caught:
            fusion_rule(bad)
        assert caught.value.code == "damaged_model"


def test_a_hybrid_answer_knows_its_face_and_picture() -> None:
    def face(emotion: str) -> FaceResult:
        blank = np.zeros((48, 48), np.uint8)
        evidence, frame = np.zeros((6, 6, SEVEN), np.float32), np.eye(2, 3)
        return FaceResult(
            Box(0, 0, 9, 9), None, 1.0, prediction(emotion), (), blank, evidence, frame
        )

    faces = face("happy"), face("happy"), face("sad")
    image = ImageResult("a.jpg", 64, 48, "yunet", "gone", faces, {}, 640, 480)
    nothing = np.zeros(1, np.float32)
    voice = VoiceResult(
        "b.wav", 2.0, ((0.0, 2.0),), "gone", prediction("sad"), (), (), (), nothing, nothing
    )
    for index, number in ((0, 1), (1, 2), (-1, 3), (int(np.argmax([0, 0, 1])), 3)):
        result = core.fuse(image, voice, index)
        assert result.face is faces[index]
        told = json.loads(json.dumps(result.to_dict()))["picture"]
        assert told == {
            "source": "a.jpg",
            "width": 64,
            "height": 48,
            "original_width": 640,
            "original_height": 480,
            "detector": "yunet",
            "model": "gone",
            "faces": 3,
            "number": number,
        }
    with pytest.raises(IndexError):
        core.fuse(image, voice, 3)
    with pytest.raises(TypeError):
        core.fuse(image, voice, cast(int, 0.9))
