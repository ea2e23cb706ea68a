"""What networks see of speech, against librosa's and at its edges."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from core.voice import features, prosody, tensor


def voice_like(seconds: float, pitch: float = 180.0) -> np.ndarray:
    time = np.arange(int(seconds * features.SAMPLE_RATE)) / features.SAMPLE_RATE
    harmonics = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 20))
    return (0.1 * harmonics * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * time))).astype(np.float32)


def test_filters_are_librosas():
    expected = librosa.filters.mel(
        sr=features.SAMPLE_RATE,
        n_fft=features.FFT_LENGTH,
        n_mels=features.MEL_BANDS,
        fmin=features.LOWEST_FREQUENCY,
        fmax=features.HIGHEST_FREQUENCY,
        htk=True,
        norm=None,
    )
    np.testing.assert_allclose(features.mel_filters().T, expected, atol=1e-5)


def test_log_mel_spectrogram_is_librosas_up_to_its_scale():
    samples = voice_like(1.3)
    ours = features.log_mel_spectrogram(samples)
    power = (
        np.abs(
            librosa.stft(
                samples,
                n_fft=features.FFT_LENGTH,
                hop_length=features.HOP_LENGTH,
                win_length=features.WINDOW_LENGTH,
                pad_mode="constant",
            )
        )
        ** 2
    )
    theirs = librosa.power_to_db(features.mel_filters().T @ power, amin=1e-30, top_db=None).T
    loud = ours > -60
    # Frame centres agree to within what zero padding places differently: compare the interior.
    gap = (ours - theirs)[2:-2][loud[2:-2]]
    assert ours.shape == theirs.shape
    assert gap.std() < 0.5


def test_full_scale_sine_is_near_zero_db():
    time = np.arange(features.SAMPLE_RATE) / features.SAMPLE_RATE
    sine = np.sin(2 * np.pi * 1000 * time).astype(np.float32)
    peak = features.log_mel_spectrogram(sine)[20:-20].max()
    assert -3 < peak < 3


def test_mfcc_is_the_orthonormal_dct_of_the_log_mel_spectrogram():
    from scipy.fft import dct

    samples = voice_like(0.5)
    expected = dct(features.log_mel_spectrogram(samples), type=2, norm="ortho", axis=1)
    ours = features.mfcc(samples)
    assert ours.shape[1] == features.MFCC_COEFFICIENTS
    np.testing.assert_allclose(ours, expected[:, : features.MFCC_COEFFICIENTS], atol=1e-2)


@pytest.mark.parametrize("gain", [0.3, 3.0])
def test_level_leaves_no_trace(gain):
    samples = voice_like(1.0)
    reference, first = features.voice_tensor(samples)
    tensor, moved = features.voice_tensor(samples * np.float32(gain))
    assert first == moved
    np.testing.assert_allclose(tensor, reference, atol=0.05)


def test_silence_at_both_ends_is_trimmed():
    samples = voice_like(1.0)
    padded = np.pad(samples, (features.SAMPLE_RATE, features.SAMPLE_RATE // 2))
    tensor, first = features.voice_tensor(padded)
    alone, _ = features.voice_tensor(samples)
    assert abs(tensor.shape[1] - alone.shape[1]) <= 2 * features.TRIM_MARGIN + 2
    expected = features.FRAMES_PER_SECOND - features.TRIM_MARGIN
    assert abs(first - expected) <= 2


@pytest.mark.parametrize("length", [1, 100, 640, 5000])
@pytest.mark.parametrize(
    ("make", "columns"),
    [(features.voice_tensor, features.MEL_BANDS), (prosody.prosody_tensor, prosody.COLUMNS)],
)
def test_short_and_silent_input_stays_finite(length, make, columns):
    for samples in (np.zeros(length, np.float32), np.full(length, 0.5, np.float32)):
        tensor, _ = make(samples)
        assert tensor.shape[0] == 1
        assert tensor.shape[2:] == (columns, 1)
        assert np.isfinite(tensor).all()


@pytest.mark.parametrize("length", [1, 4000, 16_000, 17_777])
def test_voices_go_through_the_network_in_whole_steps(length):
    samples = np.random.default_rng(length).normal(0, 0.1, length).astype(np.float32)
    plain, first = prosody.prosody_tensor(samples)
    whole, start = tensor.whole_steps(samples)
    frames = plain.shape[1]
    assert start == first
    assert whole.shape[1] % tensor.FRAMES_PER_STEP == 0
    assert 0 <= whole.shape[1] - frames < tensor.FRAMES_PER_STEP
    np.testing.assert_array_equal(whole[:, :frames], plain)
    assert (
        whole[:, frames:, : features.MEL_BANDS] == plain[:, :, : features.MEL_BANDS].min()
    ).all()
    assert not whole[:, frames:, features.MEL_BANDS :].any()
