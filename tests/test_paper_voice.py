"""The paper's voice network: its descriptors, its size, its training and its leaky split."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import cv2
import numpy as np
import pytest
from threadpoolctl import threadpool_info

import core
from core.errors import DuetError
from core.media import SAMPLE_RATE, decode_audio
from core.models import Model, ModelInfo, read_info
from core.reports import how_it_ended
from core.ui.samples import synthetic_voice
from core.voice import descriptors, gather_evidence
from core.voice.descriptors import DESCRIPTOR_RATE, DESCRIPTORS, FRAMES, descriptor_windows
from core.voice.tensor import voice_input
from tests.data_makers import ravdess
from tests.media_makers import wav
from training import evaluate, voice1d, voices
from training.__main__ import main
from training.architectures import parameters, stacked_cnn1d, voice_cnn1d
from training.descriptor_speed import by_librosa, librosa_descriptors
from training.loop import Schedule, finished, plateau_rate


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return np.array(decode_audio(synthetic_voice().data).samples)


@pytest.mark.parametrize("kind", ["speech", "noise", "quiet", "silence"])
def test_descriptors_are_librosas(kind, speech):
    rng = np.random.default_rng(5)
    window = {
        "speech": np.resize(descriptors.at_descriptor_rate(speech), descriptors.WINDOW_SAMPLES),
        "noise": 0.1 * rng.standard_normal(descriptors.WINDOW_SAMPLES),
        "quiet": 1e-5 * rng.standard_normal(descriptors.WINDOW_SAMPLES),
        "silence": np.zeros(descriptors.WINDOW_SAMPLES),
    }[kind]
    window = np.asarray(window, np.float32)
    ours = descriptors.descriptors(window)
    assert ours.shape == (DESCRIPTORS,) == (FRAMES * 22,) == (2376,)
    np.testing.assert_allclose(ours, librosa_descriptors(window), rtol=1e-4, atol=1e-4)


def test_resampling_keeps_a_tone_and_the_length():
    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    tone = np.sin(2 * np.pi * 1000 * time).astype(np.float32)
    sound = descriptors.at_descriptor_rate(tone)
    assert abs(len(sound) - 2 * DESCRIPTOR_RATE) < 40
    spectrum = np.abs(np.fft.rfft(sound[1000:-1000] * np.hanning(len(sound) - 2000)))
    peak = spectrum.argmax() * DESCRIPTOR_RATE / (len(sound) - 2000)
    assert peak == pytest.approx(1000, abs=1)


@pytest.mark.parametrize(
    ("seconds", "starts"),
    [(0.4, [0.0]), (1.0, [0.0]), (2.0, [0.6]), (3.5, [0.6]), (4.2, [0.6, 1.1, 1.6])],
)
def test_windows_follow_the_recording(seconds, starts):
    samples = np.full(round(seconds * SAMPLE_RATE), 0.1, np.float32)
    tensor, found = descriptor_windows(samples)
    assert found == pytest.approx(starts)
    assert tensor.shape == (len(starts), DESCRIPTORS, 1)
    assert np.isfinite(tensor).all()
    assert (descriptor_windows(samples, most=1)[0] == tensor[:1]).all()


def test_the_network_is_the_papers():
    network = stacked_cnn1d()
    trainable = sum(int(np.prod(v.shape)) for v in network.trainable_variables)
    assert (network.count_params(), trainable) == (7_193_223, 7_188_871)
    assert parameters(voice_cnn1d()) == 7_193_223


class Windowed(Model):
    """A network on descriptors that hears happiness in the first window, sadness later."""

    def __init__(self, preprocessing: str) -> None:
        card = {"input": {"preprocessing": preprocessing}}
        self.info = cast(ModelInfo, SimpleNamespace(name="windowed", temperature=1.0, card=card))

    def __call__(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        assert batch.shape[1:] == (DESCRIPTORS, 1)
        evidence = np.zeros((len(batch), 1, 1, 7), np.float32)
        evidence[0, 0, 0, 3], evidence[1:, 0, 0, 5] = 4.0, 4.0
        return {"evidence": evidence, "scores": np.zeros((len(batch), 1, 1), np.float32)}


def test_windows_are_steps_that_count_alike(speech):
    samples = np.resize(speech, 5 * SAMPLE_RATE)
    model = Windowed("core.voice.descriptors.descriptor_windows")
    found = gather_evidence(samples, [(0.2, 4.8)], model)
    assert found.times == pytest.approx(0.6 + 1.25 + 0.5 * np.arange(len(found.times)))
    steps = len(found.times)
    assert found.overall_attention()[:, 0] == pytest.approx(np.full(steps, 1 / steps))
    result = core.voice.analyze_voice(core.media.Recording("x", samples, 16_000, 1, 0.0), model)
    assert result.emotion.label == "sad"
    assert result.moments == ()


def test_what_follows_a_window_does_not_change_it(speech):
    samples = np.resize(speech, 6 * SAMPLE_RATE)
    whole = descriptors.at_descriptor_rate(samples)
    first = whole[round(0.6 * DESCRIPTOR_RATE) :][: descriptors.WINDOW_SAMPLES]
    (tensor,), _ = descriptor_windows(samples, most=1)
    np.testing.assert_array_equal(tensor[:, 0], descriptors.descriptors(first))


def test_speed_is_told_beside_librosas(tmp_path, capsys, speech):
    ravdess(tmp_path, (1, 2), seconds=2.0)
    assert main(["descriptor-speed", "--data", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    found = json.loads(said[said.index("{") :])
    assert found["copies"] == voice1d.COPIES
    assert found["clips"][0] > 0
    for part in (found["window"], found["clip"]):
        assert part["times_faster"] == pytest.approx(
            part["librosas"] / part["ours"], rel=0.05, abs=0.1
        )
    content = wav(np.array(speech), rate=SAMPLE_RATE)
    rows, window = by_librosa(content, np.random.default_rng(1))
    assert rows.shape == (1 + voice1d.COPIES, DESCRIPTORS)
    np.testing.assert_allclose(rows[0], descriptors.descriptors(window), rtol=1e-4, atol=1e-4)


def test_helpers_work_with_one_thread_each(tmp_path):
    ravdess(tmp_path, (1,), seconds=0.6)
    with voices.helpers(tmp_path) as pool:
        assert pool.submit(cv2.getNumThreads).result() == 1
        libraries = pool.submit(threadpool_info).result()
    assert [each["num_threads"] for each in libraries] == [1] * len(libraries)
    assert libraries or sys.platform == "darwin"  # whose BLAS is not listed


def test_a_clip_is_decoded_once_for_itself_and_its_copies(speech, monkeypatch):
    decoded = []

    def decode(content, name):
        decoded.append(name)
        return core.media.Recording(name, speech, SAMPLE_RATE, 1, 0.0)

    monkeypatch.setattr(voice1d, "decode_audio", decode)
    rows = voice1d.first_windows(b"", "a/b.wav")
    assert decoded == ["a/b.wav"]
    assert rows.shape == (1 + voice1d.COPIES, DESCRIPTORS)
    np.testing.assert_array_equal(rows[0], descriptor_windows(speech, most=1)[0][0, :, 0])
    assert not (rows[1:] == rows[0]).all(axis=1).any()
    np.testing.assert_array_equal(rows, voice1d.first_windows(b"", "a/b.wav"))
    assert (rows[1:] != voice1d.first_windows(b"", "a/c.wav")[1:]).any()


def test_an_unknown_preprocessing_is_named():
    with pytest.raises(DuetError, match="nonsense") as caught:
        voice_input(Windowed("nonsense").info)
    assert caught.value.code == "damaged_model"


def test_the_rate_falls_on_plateaus_and_training_ends_there():
    schedule = Schedule(epochs=50, learning_rate=1.0, patience=2)
    assert plateau_rate(schedule, []) == 1.0
    assert plateau_rate(schedule, [0.1, 0.2, 0.1]) == 1.0
    assert plateau_rate(schedule, [0.1, 0.2, 0.1, 0.2]) == pytest.approx(0.4)
    assert plateau_rate(schedule, [0.1, 0.2, 0.1, 0.2, 0.3, 0.1, 0.1]) == pytest.approx(0.16)
    rows = [{"val_score": score} for score in (0.1, 0.3, 0.2, 0.2, 0.2)]
    known = {"epochs": 50, "patience": 2}
    assert not finished(known, rows)
    assert finished(known, [*rows, {"val_score": 0.3}])
    assert finished({"epochs": 5}, rows)
    assert not finished({"epochs": 6}, rows)


@pytest.fixture(scope="module")
def tiny_ravdess(tmp_path_factory) -> Path:
    """Tones by three actors, one of them of each split, in RAVDESS's layout."""
    data = tmp_path_factory.mktemp("voices")
    ravdess(data, (1, 2, 3), seconds=2.0)
    (data / "ravdess/Actor_01/03-01-01-01-02-01-01.wav").write_bytes(b"RIFF rotten")
    return data


def test_what_cannot_be_learnt_from_is_refused_in_a_sentence(tmp_path, capsys):
    ravdess(tmp_path / "one", (1, 3), seconds=2.0)
    for path in (tmp_path / "one").rglob("*.wav"):
        if path.name[6:8] != "03":
            path.unlink()
    ravdess(tmp_path / "nobody", (1,), seconds=2.0)
    rotten = tmp_path / "nobody/ravdess/Actor_01/03-01-02-01-02-01-01.wav"
    rotten.write_bytes(b"RIFF rotten")
    run = ["--run", str(tmp_path / "runs/run")]
    assert main(["train", "voice-cnn1d", "--data", str(tmp_path / "one"), *run]) == 1
    assert "The voices' train holds only happy" in capsys.readouterr().err
    assert main(["random-split", "--data", str(tmp_path / "one"), *run]) == 1
    assert "holds only happy" in capsys.readouterr().err
    for _ in range(2):  # the second time from the cache
        assert main(["train", "voice-cnn1d", "--data", str(tmp_path / "nobody"), *run]) == 1
        told = capsys.readouterr()
        assert "The voices' validation holds no example" in told.err
        assert "left out 1 of 9 clips: ravdess Actor_01/03-01-02-01-02-01-01.wav" in told.out


def test_it_is_trained_shipped_heard_and_set_beside_its_leaky_split(
    tiny_ravdess, tmp_path, monkeypatch, capfd, speech
):
    # The made-up recordings are tones, which the real search for speech rightly refuses.
    monkeypatch.setattr(voices, "find_speech", lambda recording: [(0.0, recording.duration)])
    monkeypatch.setattr(evaluate, "corpus_or_emotion", lambda *_: {"recall": {}, "surprise": {}})
    monkeypatch.setattr(voice1d, "SCHEDULE", replace(voice1d.SCHEDULE, batch_size=4))
    models = tmp_path / "models"
    common = ["--data", str(tiny_ravdess), "--models", str(models), "--epochs", "1"]
    runs = tmp_path / "runs"
    train = ["train", "voice-cnn1d", *common, "--run", str(runs / "honest"), "--quick"]
    assert main(train) == 0
    assert "left out ravdess" in capfd.readouterr().out
    info = read_info(models / "voice-cnn1d")
    assert not info.default
    assert info.parameters == 7_193_223
    assert ", at most 1 of adam" in (info.folder / "README.md").read_text()
    answer = core.voice.analyze_voice(
        core.media.Recording("x", np.resize(speech, 4 * SAMPLE_RATE), 16_000, 1, 0.0), Model(info)
    )
    assert sum(answer.emotion.probabilities) == pytest.approx(1)

    shutil.copytree(runs / "honest", tmp_path / "curve/1")
    shutil.copytree(runs / "cache", tmp_path / "curve/cache")
    curve = ["learning-curve", "voice-cnn1d", *common, "--run", str(tmp_path / "curve")]
    assert main([*curve, "--fractions", "1"]) == 0
    drawn = json.loads((models / "voice-cnn1d" / "learning_curve.json").read_text())
    assert "of every stage of the recipe" in drawn["settings"]
    (point,) = drawn["points"]
    assert (point["epochs"], point["test"]["n"]) == (1, info.evaluation["splits"]["test"]["n"])

    leak = ["random-split", *common, "--run", str(runs / "leak"), "--fraction", "0.9"]
    assert main(leak) == 0
    found = json.loads((models / "voice-cnn1d" / "random_split.json").read_text())
    assert found["speaker_in_training"] == 1.0
    assert found["clip_in_training"] > 0.5
    assert found["epochs"] == 1
    assert found["plateau"] is False
    assert "plateau" not in how_it_ended({**found, "plateau": True})
    from training.report import write_report

    report = write_report(models).read_text()
    assert "augmented copies, then a random split" in report
    assert "chosen by these examples, too. The number of epochs ended it and no plateau" in report


@pytest.mark.parametrize(
    ("recalls", "score"),
    [
        ({"ravdess": 0.5, "crema_d": 0.7, "savee": 0.1, "tess": 0.2}, 0.6),
        ({"crema_d": 0.7, "tess": 0.2}, 0.7),
        ({"savee": 0.1, "tess": 0.3}, 0.2),
        ({"savee": 0.4}, 0.4),
    ],
)
def test_networks_are_chosen_by_the_corpora_that_are_there(recalls, score):
    assert voices.score(recalls) == pytest.approx(score)
