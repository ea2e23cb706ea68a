"""Other views of a voice: what they hold, how they are changed in training, what a network sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import librosa
import numpy as np
import pytest
from numpy.typing import NDArray

from core.voice import features
from core.voice.features import HOP_LENGTH, MEL_BANDS, SAMPLE_RATE
from core.voice.prosody import COLUMNS, PROSODY_COLUMNS, prosody_columns, prosody_tensor
from tests.data_makers import ravdess
from training import folds, views, voice, voices
from training.architectures import voice_cnn
from training.augment_voice import random_prosody, random_spectrogram


def _hum(hertz: float = 220.0, seconds: float = 1.0) -> NDArray[np.float32]:
    """A harmonic tone that glides a little, as a voice does, between two silences of 0.3 s."""
    times = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    phase = 2 * np.pi * np.cumsum(hertz * (1 + 0.02 * np.sin(2 * np.pi * times))) / SAMPLE_RATE
    tone = sum(np.sin(k * phase) / k for k in range(1, 12))
    return np.pad(0.2 * np.asarray(tone, np.float32), int(0.3 * SAMPLE_RATE))


@pytest.mark.parametrize("window", views.WINDOWS)
def test_spectrograms_by_other_windows_equal_librosas(window: int) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 20_000).astype(np.float32)
    fft = max(1024, window)
    filters = librosa.filters.mel(
        sr=SAMPLE_RATE, n_fft=fft, n_mels=MEL_BANDS, fmin=50, fmax=8000, htk=True, norm=None
    )
    power = np.abs(
        librosa.stft(
            samples, n_fft=fft, win_length=window, hop_length=HOP_LENGTH, pad_mode="constant"
        )
    )
    mel = (filters @ power**2).T / (window / 4) ** 2
    found = features.log_mel_spectrogram(samples, window)
    expected = 10 * np.log10(np.maximum(mel, 1e-10))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_all_views_show_the_same_frames_of_a_clip() -> None:
    samples = _hum()
    mel = views.mel(samples)
    np.testing.assert_array_equal(mel, features.voice_tensor(samples)[0][0, :, :, 0].astype("f2"))
    windows, prosody = views.windows(samples), views.with_prosody(samples)
    assert windows.shape == (len(mel), 3 * MEL_BANDS + PROSODY_COLUMNS)
    np.testing.assert_array_equal(windows[:, MEL_BANDS : 2 * MEL_BANDS], mel)
    assert prosody.shape == (len(mel), COLUMNS)
    np.testing.assert_array_equal(prosody[:, :MEL_BANDS], mel)
    np.testing.assert_array_equal(windows[:, 3 * MEL_BANDS :], prosody[:, MEL_BANDS:])
    assert [features.spectrogram_columns(view) for view in (mel, windows, prosody)] == [64, 192, 64]
    tensor, first = prosody_tensor(samples)
    np.testing.assert_array_equal(tensor[0, :, :, 0].astype("f2"), prosody)
    assert first == features.voice_tensor(samples)[1]


@pytest.mark.parametrize("hertz", [110.0, 220.0])
def test_pitch_and_loudness_are_told_where_they_are(hertz: float) -> None:
    samples = np.concatenate([_hum(hertz), 0.1 * _hum(hertz)])
    octaves, relative, voiced, loudness = prosody_columns(samples).T
    times = np.arange(len(octaves)) * HOP_LENGTH / SAMPLE_RATE
    loud, quiet = (times > 0.4) & (times < 1.2), (times > 2.0) & (times < 2.8)
    for part in (loud, quiet):
        assert voiced[part].mean() > 0.9
        heard = part & (voiced > 0)
        np.testing.assert_allclose(octaves[heard], np.log2(hertz / 160), atol=0.06)
        np.testing.assert_allclose(relative[heard], 0, atol=0.06)
    silent = (times < 0.2) | (times > 3.0)
    assert not np.stack([octaves, relative, voiced, loudness])[:, silent].any()
    assert loudness.max() == pytest.approx(3.0)  # 60 dB over 20
    assert np.median(loudness[loud]) - np.median(loudness[quiet]) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("gain", [1e-4, 0.01, 30.0])
def test_how_loud_a_recording_is_changes_neither_pitch_nor_loudness(gain: float) -> None:
    samples = np.concatenate([_hum(150.0), 0.1 * _hum(150.0)])
    expected = prosody_columns(samples)
    assert expected[:, 2].any()
    np.testing.assert_allclose(prosody_columns(samples * np.float32(gain)), expected, atol=1e-4)


def test_samples_that_are_no_numbers_spoil_neither() -> None:
    samples = 0.5 * _hum(150.0)
    expected, spoilt = samples.copy(), samples.copy()
    for at, (wrong, right) in enumerate(((np.nan, 0.0), (np.inf, 1.0), (-np.inf, -1.0))):
        spoilt[1000 * at], expected[1000 * at] = wrong, right
    assert prosody_columns(expected)[:, 2].any()
    np.testing.assert_array_equal(prosody_columns(spoilt), prosody_columns(expected))


def test_a_clip_without_pitch_has_none() -> None:
    assert not prosody_columns(np.zeros(8000, np.float32)).any()
    noise = np.random.default_rng(0).normal(0, 0.05, 8000).astype(np.float32)
    octaves, relative, voiced, loudness = prosody_columns(noise).T
    assert not np.stack([octaves, relative, voiced]).any()
    assert loudness.min() > 2


def test_pitch_and_loudness_are_told_at_the_right_time_far_into_a_recording() -> None:
    samples = np.zeros(15 * SAMPLE_RATE, np.float32)
    tone = _hum()[4800:-4800]
    samples[155_200 : 155_200 + len(tone)] = tone
    samples[:8000] = tone[:8000]
    tensor, first = prosody_tensor(samples)
    assert first == 0
    heard = tensor[0, 300:, :, 0]
    loud, voiced = heard[:, MEL_BANDS + 3] > 2, heard[:, MEL_BANDS + 2] > 0
    bright = heard[:, :MEL_BANDS].max(axis=1) > 1
    for frames in (loud, voiced, bright):
        edges = (np.flatnonzero(frames)[[0, -1]] + 300) * HOP_LENGTH
        np.testing.assert_allclose(edges, [155_200, 155_200 + len(tone)], atol=3 * HOP_LENGTH)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("frames", [60, 100, 250])
def test_all_of_a_view_is_changed_alike(seed: int, frames: int) -> None:
    rng = np.random.default_rng(seed)
    mel = rng.normal(0, 1, (120, MEL_BANDS)).astype(np.float16)
    alone = random_spectrogram(mel, frames, 1.0, np.random.default_rng(seed))
    thrice = np.concatenate([mel, mel, mel], axis=1)
    changed = random_spectrogram(thrice, frames, 1.0, np.random.default_rng(seed))
    np.testing.assert_array_equal(changed, np.tile(alone, 3))
    steady = np.full((120, PROSODY_COLUMNS), 7, np.float16)
    both = np.concatenate([mel, steady], axis=1)
    changed = random_spectrogram(both, frames, 1.0, np.random.default_rng(seed))
    np.testing.assert_array_equal(changed[:, :MEL_BANDS], alone)
    # What is said of a frame is blanked with it, and lacks where there is no clip; nothing else.
    assert set(np.unique(changed[:, MEL_BANDS:])) <= {0.0, 7.0}
    blank = (alone == 0).all(axis=1) | (alone == alone.min()).all(axis=1)
    np.testing.assert_array_equal(changed[:, MEL_BANDS] == 0, blank)


def test_what_is_said_of_frames_keeps_their_time() -> None:
    view = np.zeros((120, MEL_BANDS + 1), np.float16)
    view[40:60] = 5
    for seed in range(6):
        changed = random_spectrogram(view, 140, 0.0, np.random.default_rng(seed))
        middle = changed[:, :MEL_BANDS].mean(axis=1)
        edges = [np.flatnonzero(row > 2.5)[[0, -1]] for row in (middle, changed[:, MEL_BANDS])]
        np.testing.assert_allclose(edges[0], edges[1], atol=1)


def test_pitch_and_loudness_change_in_training_and_nothing_else_does() -> None:
    view = np.zeros((50, COLUMNS), np.float16)
    view[:, :MEL_BANDS] = np.random.default_rng(0).normal(0, 1, (50, MEL_BANDS))
    view[10:40, MEL_BANDS:] = [0.5, 0.25, 1.0, 2.0]  # the rest is not voiced
    rng = np.random.default_rng(1)
    changed = np.stack([random_prosody(view, 1.0, rng) for _ in range(2000)])
    np.testing.assert_array_equal(
        changed[:, :, :MEL_BANDS], np.tile(view[:, :MEL_BANDS], (2000, 1, 1))
    )
    assert not changed[:, :10, MEL_BANDS:].any()
    lost = ~changed[:, :, MEL_BANDS:].any(axis=(1, 2))
    assert lost.mean() == pytest.approx(0.3, abs=0.04)
    octaves, relative, voiced, loudness = changed[~lost, 20, MEL_BANDS:].T
    assert octaves.mean() == pytest.approx(0.5, abs=0.02)
    assert octaves.std() == pytest.approx(0.15, abs=0.02)
    assert (voiced == 1).all()
    for found, middle, share in ((relative, 0.25, 0.25), (loudness, 2.0, 0.2)):
        low, high = middle * (1 - share), middle * (1 + share)
        assert low <= found.min() < low + 0.1 * middle
        assert high - 0.1 * middle < found.max() <= high * 1.001
    np.testing.assert_array_equal(random_prosody(view, 0.0, rng), view)
    mel = view[:, :MEL_BANDS]
    np.testing.assert_array_equal(random_prosody(mel, 1.0, rng), mel)


def test_pitch_and_loudness_change_in_the_second_round_and_on_folds_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = voice.MEMBERS[0]
    assert [stage.prosody_change for stage in member.stages()] == [0, 0, 1]
    assert [stage.prosody_change for stage in folds._stages(folds.lasting(member, (3, 2, 2)))] == [
        0,
        1,
        1,
    ]
    clips = tuple(voices.Clip("ravdess", str(n), "1", "happy", "train") for n in range(64))
    parts = tuple(np.full((60, COLUMNS), 2, np.float16) for _ in clips)
    caught = []
    monkeypatch.setattr(voice, "fit", lambda *given, **named: caught.append(given[3](0)[0][0]))
    for stage in member.stages()[1:]:
        plain = replace(stage, masking=0.0, mixup=0.0, short=0.0)
        voice.train_stage(dict, voices.Voices(clips, parts), tmp_path, plain, None)
    second, third = ((x[..., MEL_BANDS + 2, 0] > 0).any(axis=1) for x in caught)
    assert second.all()
    assert 0 < third.mean() < 1  # of some clips nothing is told


def test_no_corpus_has_a_sound_of_its_own_in_what_is_no_spectrogram() -> None:
    clips = tuple(voices.Clip("ravdess", e, "1", e, "train") for e in ("happy", "sad"))
    parts = tuple(np.ones((9, MEL_BANDS + 2), np.float16) for _ in clips)
    means = voice.mean_spectra(voices.Voices(clips, parts))
    row = means[voices.CORPORA.index("ravdess")]
    np.testing.assert_array_equal(row, [1.0] * MEL_BANDS + [0.0] * 2)


def test_views_of_a_few_clips_are_kept_apart_from_those_of_all(tmp_path: Path) -> None:
    ravdess(tmp_path, (1, 3))
    cache = tmp_path / "cache"
    everything = voices.load(tmp_path, cache, 1)
    few = set(everything.clips[:3])
    for _ in range(2):  # the second time from the cache
        found = voices.load(tmp_path, cache, 1, view="windows", only=few)
        assert set(found.clips) == few
        assert {part.shape[1] for part in found.spectrograms} == {3 * MEL_BANDS + PROSODY_COLUMNS}
    assert {part.shape[1] for part in voices.load(tmp_path, cache, 1).spectrograms} == {COLUMNS}


@pytest.mark.parametrize(
    ("columns", "build"),
    [
        (MEL_BANDS, lambda: voice_cnn((4, 4, 8), prosody=0)),
        (COLUMNS, lambda: voice_cnn((4, 4, 8))),
        (3 * MEL_BANDS + PROSODY_COLUMNS, lambda: voice_cnn((4, 4, 8), windows=3)),
    ],
)
@pytest.mark.parametrize("frames", [97, 104, 111])
def test_a_network_sees_every_column(
    columns: int, build: Callable[[], keras.Model], frames: int
) -> None:
    keras.utils.set_random_seed(1)
    network = build()
    x = np.random.default_rng(0).normal(0, 1, (1, frames, columns, 1)).astype(np.float32)
    answers = network.predict_on_batch(x)
    assert answers["evidence"].shape == (1, -(-frames // 8), 4, 7)
    for column in {*range(0, columns, 3), *range(columns - PROSODY_COLUMNS, columns)}:
        other = x.copy()
        other[:, 20:60, column] += 3
        assert not np.allclose(network.predict_on_batch(other)["logits"], answers["logits"])
