"""From a recording to its emotion, with a network that is made up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from core import voice
from core.errors import DuetError
from core.labels import EMOTIONS
from core.media import SAMPLE_RATE, Recording, decode_audio
from core.models import Model, ModelInfo, find, load
from core.ui.samples import synthetic_voice
from core.voice import analyze_voice, gather_evidence, overall_logits
from core.voice.features import HOP_LENGTH, MEL_BANDS
from core.voice.prosody import COLUMNS
from core.voice.tensor import FRAMES_PER_STEP, PROSODY_TENSOR, VOICE_TENSOR

HAPPY, SAD = EMOTIONS.index("happy"), EMOTIONS.index("sad")


class FakeModel(Model):
    """Hears `emotion(step of the recording)` and attends evenly; counts what it is given."""

    def __init__(
        self,
        emotion: Any = lambda tensor, step: HAPPY,
        temperature: float = 2.0,
        preprocessing: str = VOICE_TENSOR,
    ) -> None:
        card = {"input": {"preprocessing": preprocessing}}
        named = SimpleNamespace(name="fake", temperature=temperature, card=card)
        self.info = cast(ModelInfo, named)
        self.columns: set[int] = set()
        self.emotion = emotion
        self.frames: list[int] = []

    def __call__(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        frames = batch.shape[1]
        self.frames.append(frames)
        self.columns.add(batch.shape[2])
        steps = -(-frames // FRAMES_PER_STEP)
        evidence = np.zeros((1, steps, 2, 7), np.float32)
        for step in range(steps):
            evidence[0, step, :, self.emotion(batch, step)] = 8.0
        return {"scores": np.zeros((1, steps, 2), np.float32), "evidence": evidence}


def recording(samples: np.ndarray, rate: int = 48_000, clipped: float = 0.0) -> Recording:
    return Recording("test", samples.astype(np.float32), rate, 1, clipped)


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """The app's synthetic voice."""
    return np.array(decode_audio(synthetic_voice().data).samples)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(int(seconds * SAMPLE_RATE), np.float32)


def test_short_speech_gives_one_point_whose_emotion_is_the_answer(speech):
    heard = speech[: int(2.5 * SAMPLE_RATE)]
    result = analyze_voice(recording(heard), FakeModel())
    assert result.emotion.label == "happy"
    assert [point.emotion for point in result.timeline] == [result.emotion]
    assert result.attention.sum() == pytest.approx(1, abs=1e-5)
    assert len(result.attention) == len(result.attention_times)
    assert 0 < result.speech_seconds <= result.duration


def test_evidence_adds_up_to_the_calibrated_logits(speech):
    model = FakeModel(temperature=4.0)
    segments = voice.find_speech(recording(speech))
    logits = overall_logits(speech, segments, model)
    assert logits[HAPPY] - logits[SAD] == pytest.approx(8.0 / 4.0)
    assert logits.sum() == pytest.approx(0, abs=1e-9)


def test_a_long_pause_has_no_say(speech):
    """In the pause the network hears sadness; nobody speaks there."""

    def emotion(tensor: np.ndarray, step: int) -> int:
        part = tensor[0, step * 8 : step * 8 + 8, :, 0]
        return HAPPY if part.max() > tensor.min() + 1.0 else SAD

    samples = np.concatenate([speech, silence(60), speech])
    result = analyze_voice(recording(samples), FakeModel(emotion))
    assert result.emotion.label == "happy"
    assert result.emotion.confidence > 0.9
    pause = (len(speech) / SAMPLE_RATE + 1.5, len(speech) / SAMPLE_RATE + 58.5)
    inside = (result.attention_times > pause[0]) & (result.attention_times < pause[1])
    assert inside.any()
    assert result.attention[inside].sum() == 0
    assert not any(pause[0] < m.start and m.end < pause[1] for m in result.moments)
    middle = [p for p in result.timeline if p.start > pause[0] and p.end < pause[1]]
    assert middle
    assert all(point.emotion is None for point in middle)


@pytest.mark.parametrize(
    ("preprocessing", "columns"), [(VOICE_TENSOR, MEL_BANDS), (PROSODY_TENSOR, COLUMNS)]
)
def test_long_recordings_go_through_the_network_in_pieces(speech, preprocessing, columns):
    samples = np.tile(speech, -(-70 * SAMPLE_RATE // len(speech)))[: 70 * SAMPLE_RATE]
    model = FakeModel(preprocessing=preprocessing)
    result = analyze_voice(recording(samples), model)
    assert model.columns == {columns}
    assert len(model.frames) == 3
    assert max(model.frames) <= voice.CHUNK_SECONDS * SAMPLE_RATE / HOP_LENGTH + 1
    assert (np.diff(result.attention_times) > 0).all()


def test_the_timeline_follows_a_change_in_half_second_steps(speech):
    def emotion(tensor: np.ndarray, step: int) -> int:
        return HAPPY if step * FRAMES_PER_STEP < tensor.shape[1] / 2 else SAD

    samples = np.tile(speech, 4)[: 12 * SAMPLE_RATE]
    result = analyze_voice(recording(samples), FakeModel(emotion))
    starts = np.array([point.start for point in result.timeline])
    assert np.diff(starts) == pytest.approx(voice.WINDOW_HOP_SECONDS)
    assert result.timeline[-1].end <= result.duration + 0.01
    labels = [point.emotion.label for point in result.timeline if point.emotion]
    assert (labels[0], labels[-1]) == ("happy", "sad")


def test_moments_are_where_the_attention_is(speech):
    class Attentive(FakeModel):
        def __call__(self, batch: np.ndarray) -> dict[str, np.ndarray]:
            out = super().__call__(batch)
            out["scores"][0, 5:8] = 9.0
            return out

    result = analyze_voice(recording(speech[: 3 * SAMPLE_RATE]), Attentive())
    first = result.moments[0]
    assert first.share > 0.9
    assert first.contribution > 0
    assert first.end - first.start >= voice.SHORTEST_MOMENT_SECONDS - 1e-6
    assert first.end - first.start < 0.6


@pytest.mark.parametrize("step", [0, 3, -3, -1])
@pytest.mark.parametrize("quiet", [0.0, 0.6, 1.5])
def test_moments_beside_the_words_are_whole_too(speech, step, quiet):
    class Attentive(FakeModel):
        def __call__(self, batch: np.ndarray) -> dict[str, np.ndarray]:
            out = super().__call__(batch)
            out["scores"][0, step] = 9.0
            return out

    samples = np.concatenate([silence(quiet), speech[: 2 * SAMPLE_RATE], silence(quiet)])
    result = analyze_voice(recording(samples), Attentive())
    (moment,) = result.moments
    assert 0 <= moment.start < moment.end <= result.duration
    assert moment.end - moment.start == pytest.approx(voice.SHORTEST_MOMENT_SECONDS, abs=1e-6)
    strongest = result.attention_times[result.attention.argmax()]
    assert moment.start < min(strongest, result.duration) <= moment.end


@pytest.mark.parametrize(
    ("samples", "code"),
    [
        (np.zeros(1000), "too_short"),
        (np.zeros(SAMPLE_RATE), "silent"),
        (np.random.default_rng(0).normal(0, 0.1, 3 * SAMPLE_RATE), "no_speech"),
    ],
)
def test_what_is_no_speech_is_refused(samples, code):
    with pytest.raises(DuetError) as caught:
        analyze_voice(recording(samples), FakeModel())
    assert caught.value.code == code


def test_quality_notes_name_what_is_wrong_and_nothing_else(speech):
    def codes(samples: np.ndarray, **options: Any) -> set[str]:
        return {
            note.code for note in analyze_voice(recording(samples, **options), FakeModel()).quality
        }

    padded = np.concatenate([silence(0.5), speech, silence(0.5)])
    assert codes(padded) == set()
    assert codes(padded, rate=8000) == {"narrow_band"}
    assert codes(padded, clipped=0.05) == {"clipped"}
    assert codes(padded * np.float32(0.004)) == {"quiet"}
    hiss = np.random.default_rng(0).normal(0, 0.4 * speech.std(), len(padded))
    assert "noisy" in codes(padded + hiss)


@pytest.mark.parametrize(
    ("ratio", "words"),
    [(3.4, "3 dB below speech"), (-0.3, "0 dB below speech"), (-11.2, "11 dB above speech")],
)
def test_how_loud_the_background_is(speech, monkeypatch, ratio, words):
    monkeypatch.setattr(voice, "_signal_to_noise_db", lambda *_: ratio)
    (note,) = analyze_voice(recording(speech), FakeModel()).quality
    assert note.message == f"The background is loud ({words})."


def test_the_shipped_model_answers_alike_whatever_surrounds_the_speech(speech):
    model = load(find("voice"))
    alone = analyze_voice(recording(speech), model)
    padded = np.concatenate([silence(2), speech, silence(1)])
    later = analyze_voice(recording(padded), model)
    assert later.emotion.label == alone.emotion.label
    assert later.emotion.confidence == pytest.approx(alone.emotion.confidence, abs=0.1)
    assert later.speech[0][0] == pytest.approx(alone.speech[0][0] + 2, abs=0.1)
    segments = voice.find_speech(recording(speech))
    evidence = gather_evidence(speech, segments, model)
    assert np.abs(evidence.evidence.sum(axis=-1)).max() < 1e-6
