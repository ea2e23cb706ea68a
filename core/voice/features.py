"""Spectrograms of speech as networks see them: the functions that training and serving share.

All times follow from these constants: a frame every `HOP_LENGTH / SAMPLE_RATE` = 16 ms.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from core.voice.spectrum import FilterBank, power_spectrum

SAMPLE_RATE = 16_000
WINDOW_LENGTH = 640
"""Samples: 40 ms, long enough to tell the harmonics of a low voice apart."""
FFT_LENGTH = 1024
HOP_LENGTH = 256
"""Samples: 16 ms."""
FRAMES_PER_SECOND = SAMPLE_RATE / HOP_LENGTH
MEL_BANDS = 64
LOWEST_FREQUENCY = 50.0
HIGHEST_FREQUENCY = 8000.0
MFCC_COEFFICIENTS = 20

DYNAMIC_RANGE_DB = 70.0
"""What lies further below the loudest cell is raised to this floor, so that the noise floors of
different microphones look alike."""

MIN_STANDARD_DEVIATION_DB = 3.0

TRIM_DB = 35.0
"""Frames further below the loudest one are silence at the ends of a recording."""
TRIM_MARGIN = 6
"""Frames (about 0.1 s) kept on each side of what is loud enough."""


def hertz_to_mel(frequency: NDArray[np.floating] | float) -> NDArray[np.float64]:
    """HTK's mel scale."""
    return 2595.0 * np.log10(1.0 + np.asarray(frequency, np.float64) / 700.0)


def mel_to_hertz(mel: NDArray[np.floating] | float) -> NDArray[np.float64]:
    """Inverse of `hertz_to_mel`."""
    return 700.0 * (10.0 ** (np.asarray(mel, np.float64) / 2595.0) - 1.0)


def mel_filters(fft_length: int = FFT_LENGTH) -> NDArray[np.float32]:
    """Triangular filters of height 1, (fft_length // 2 + 1, MEL_BANDS).

    Equal to the transpose of `librosa.filters.mel(htk=True, norm=None)` with these constants.
    """
    edges = mel_to_hertz(
        np.linspace(hertz_to_mel(LOWEST_FREQUENCY), hertz_to_mel(HIGHEST_FREQUENCY), MEL_BANDS + 2)
    )
    bins = np.linspace(0, SAMPLE_RATE / 2, fft_length // 2 + 1)[:, np.newaxis]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)


@lru_cache(maxsize=4)
def _filter_bank(fft_length: int) -> FilterBank:
    return FilterBank.of(mel_filters(fft_length))


def mel_centres() -> NDArray[np.float64]:
    """Centre frequency of each mel band in Hz, (MEL_BANDS,)."""
    mels = np.linspace(
        hertz_to_mel(LOWEST_FREQUENCY), hertz_to_mel(HIGHEST_FREQUENCY), MEL_BANDS + 2
    )
    return mel_to_hertz(mels[1:-1])


@lru_cache(maxsize=4)
def _window(length: int) -> NDArray[np.float32]:
    """Periodic Hann window."""
    steps = np.arange(length) / length
    return (0.5 - 0.5 * np.cos(2 * np.pi * steps)).astype(np.float32)


def log_mel_spectrogram(
    samples: NDArray[np.float32], window_length: int = WINDOW_LENGTH
) -> NDArray[np.float32]:
    """Mel power spectrogram in dB.

    Parameters
    ----------
    samples : float32 (n,), mono at `SAMPLE_RATE`.
    window_length : samples; a longer one tells closer frequencies apart, a shorter one moments.

    Returns
    -------
    float32 (1 + n // HOP_LENGTH, MEL_BANDS)
        dB relative to full scale squared; frame i is centred on sample i * HOP_LENGTH. At least
        -100 dB, so that digital silence stays finite.
    """
    window = _window(window_length)
    fft_length = max(FFT_LENGTH, 1 << (window_length - 1).bit_length())
    padded = np.pad(np.asarray(samples, np.float32), window_length // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, window_length)[::HOP_LENGTH]
    mel = np.empty((len(frames), MEL_BANDS), np.float32)
    for start in range(0, len(frames), 2048):  # bounded memory for long recordings
        part = slice(start, start + 2048)
        mel[part] = _filter_bank(fft_length)(power_spectrum(frames[part], window, fft_length))
    mel /= float(window.sum() / 2) ** 2
    decibels: NDArray[np.float32] = np.log10(np.maximum(mel, np.float32(1e-10)))
    return decibels * np.float32(10)


def mfcc(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mel-frequency cepstral coefficients, (frames, MFCC_COEFFICIENTS).

    Orthonormal DCT-II of `log_mel_spectrogram`.
    """
    n = np.arange(MEL_BANDS) + 0.5
    k = np.arange(MFCC_COEFFICIENTS)
    basis = np.cos(np.pi / MEL_BANDS * np.outer(n, k)) * np.sqrt(2.0 / MEL_BANDS)
    basis[:, 0] /= np.sqrt(2.0)
    return log_mel_spectrogram(samples) @ basis.astype(np.float32)


def trim(spectrogram: NDArray[np.float32]) -> tuple[int, int]:
    """(first, last + 1) frame of a log-mel spectrogram that is not silence at its ends."""
    level = spectrogram.max(axis=1)
    loud = np.flatnonzero(level > level.max() - TRIM_DB)
    return max(0, int(loud[0]) - TRIM_MARGIN), min(len(level), int(loud[-1]) + 1 + TRIM_MARGIN)


def standardise(spectrogram: NDArray[np.float32]) -> NDArray[np.float32]:
    """Limit to `DYNAMIC_RANGE_DB` and bring to zero mean and unit variance.

    Parameters
    ----------
    spectrogram : float32 (frames, MEL_BANDS) in dB.

    Returns
    -------
    float32 (frames, MEL_BANDS): without any trace of the recording's level.
    """
    limited = np.maximum(spectrogram, spectrogram.max() - DYNAMIC_RANGE_DB)
    deviation = max(float(limited.std()), MIN_STANDARD_DEVIATION_DB)
    return ((limited - limited.mean()) / deviation).astype(np.float32)


def voice_tensor(samples: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
    """A recording, trimmed, as the input of a network that sees its spectrogram alone.

    Returns
    -------
    tensor : float32 (1, frames, MEL_BANDS, 1)
    first : the frame of the recording where the tensor starts.
    """
    spectrogram = log_mel_spectrogram(samples)
    first, last = trim(spectrogram)
    return standardise(spectrogram[first:last])[np.newaxis, :, :, np.newaxis], first


def spectrogram_columns(view: NDArray[np.floating]) -> int:
    """How many of the columns of (frames, columns) are of spectrograms, which stand first."""
    return view.shape[1] // MEL_BANDS * MEL_BANDS


def silence(view: NDArray[np.floating]) -> NDArray[np.float32]:
    """A frame of nothing, (columns,): the lowest cell of each spectrogram, 0 in what follows."""
    row = np.zeros(view.shape[1], np.float32)
    for first in range(0, spectrogram_columns(view), MEL_BANDS):
        row[first : first + MEL_BANDS] = view[:, first : first + MEL_BANDS].min()
    return row


def padded(
    view: NDArray[np.floating],
    frames: int,
    before: int = 0,
    silent: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """(frames, columns) with the frames of a view from `before` on and silence around them.

    Parameters
    ----------
    silent : a frame of it, if not that of the view.
    """
    whole = np.tile(silence(view) if silent is None else silent, (frames, 1))
    whole[before : before + len(view)] = view
    return whole
