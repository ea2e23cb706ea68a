"""Frame descriptors stacked into one vector: the input of the 1-D convolutional voice network.

The classical hand-made features: zero-crossing rate, root-mean-square energy and 20 mel-frequency
cepstral coefficients of 108 frames, equal to librosa's with its default settings (Slaney mel
scale, 128 bands, Hann window of 2,048, hop of 512), one behind the other:

    DESCRIPTORS = FRAMES + FRAMES + MFCC_COEFFICIENTS * FRAMES = 2,376

They are taken from `WINDOW_SECONDS` of sound at 22,050 Hz; the first window of a recording begins
`SKIPPED_SECONDS` into it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from core.voice.features import SAMPLE_RATE
from core.voice.spectrum import FilterBank, power_spectrum

DESCRIPTOR_RATE = 22_050
SKIPPED_SECONDS = 0.6
WINDOW_SECONDS = 2.5
HOP_SECONDS = 0.5
"""Between the windows of a recording that holds more than one."""
RESAMPLING_SECONDS = 0.1
"""More than the resampler looks ahead: sound after it does not change a window."""
WINDOW_SAMPLES = round(WINDOW_SECONDS * DESCRIPTOR_RATE)

FRAME_LENGTH = 2048
HOP_LENGTH = 512
FRAMES = 1 + WINDOW_SAMPLES // HOP_LENGTH
"""108."""
MFCC_COEFFICIENTS = 20
MEL_BANDS = 128
DESCRIPTORS = FRAMES * (2 + MFCC_COEFFICIENTS)

TOP_DB = 80.0
"""Mel bands further below the loudest of a window are raised to this."""
LEAST_POWER = 1e-10
CROSSING_THRESHOLD = 1e-10
"""Samples nearer to zero than this count as zero, which counts as positive."""


def descriptor_windows(
    samples: NDArray[np.float32], most: int | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Descriptors of every window of a recording.

    Parameters
    ----------
    samples : float32 (n,), mono at `core.voice.features.SAMPLE_RATE`.
    most : how many windows at most, the first ones.

    Returns
    -------
    tensor : float32 (windows, DESCRIPTORS, 1), at least one window; what a recording lacks of a
        whole window is silence.
    starts : (windows,) seconds into the recording, `HOP_SECONDS` apart.
    """
    length = len(samples) / SAMPLE_RATE
    further = max(0, int((length - SKIPPED_SECONDS - WINDOW_SECONDS) / HOP_SECONDS))
    skipped = SKIPPED_SECONDS if length > 2 * SKIPPED_SECONDS else 0.0
    starts = skipped + HOP_SECONDS * np.arange(1 + further, dtype=np.float64)[:most]
    end = round((starts[-1] + WINDOW_SECONDS + RESAMPLING_SECONDS) * SAMPLE_RATE)
    sound = at_descriptor_rate(samples[:end])
    tensor = np.stack([descriptors(window_from(sound, start)) for start in starts])
    return tensor[..., np.newaxis], starts


def window_from(sound: NDArray[np.float32], start: float) -> NDArray[np.float32]:
    """(WINDOW_SAMPLES,) from `start` seconds on; what is lacking of a whole window is silence."""
    first = round(start * DESCRIPTOR_RATE)
    window = sound[first : first + WINDOW_SAMPLES]
    return np.pad(window, (0, WINDOW_SAMPLES - len(window)))


def at_descriptor_rate(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """From `SAMPLE_RATE` to `DESCRIPTOR_RATE`, by FFmpeg's resampler."""
    import av

    resampler = av.AudioResampler(format="flt", layout="mono", rate=DESCRIPTOR_RATE)
    whole = np.ascontiguousarray(samples, np.float32)
    frame = av.AudioFrame.from_ndarray(whole[np.newaxis], format="flt", layout="mono")
    frame.sample_rate = SAMPLE_RATE
    parts = [*resampler.resample(frame), *resampler.resample(None)]
    sound = np.concatenate([part.to_ndarray()[0] for part in parts])
    return np.asarray(sound, np.float32)


def descriptors(window: NDArray[np.float32]) -> NDArray[np.float32]:
    """Zero-crossing rate, energy and MFCC of one window.

    Parameters
    ----------
    window : float32 (WINDOW_SAMPLES,) at `DESCRIPTOR_RATE`.

    Returns
    -------
    float32 (DESCRIPTORS,)
        (FRAMES) crossings a sample, (FRAMES) root mean square, (FRAMES, MFCC_COEFFICIENTS)
        coefficients, frame after frame.
    """
    frames = _frames(window, "constant")
    power = np.mean(np.square(frames), axis=1, dtype=np.float32)
    parts = [_crossing_rate(window), np.sqrt(power), _mfcc(frames).ravel()]
    return np.concatenate(parts).astype(np.float32)


def _frames(window: NDArray[np.float32], mode: str) -> NDArray[np.float32]:
    """(FRAMES, FRAME_LENGTH), the first one centred on the first sample."""
    padded = np.pad(window, FRAME_LENGTH // 2, mode=mode)  # type: ignore[call-overload]
    view = np.lib.stride_tricks.sliding_window_view(padded, FRAME_LENGTH)
    framed: NDArray[np.float32] = view[::HOP_LENGTH]
    return framed


def _crossing_rate(window: NDArray[np.float32]) -> NDArray[np.float32]:
    """(FRAMES,): from a running count of the crossings, not frame by frame."""
    padded = np.pad(window, FRAME_LENGTH // 2, mode="edge")
    negative = padded < -CROSSING_THRESHOLD
    crossed = np.r_[0, np.cumsum(negative[1:] != negative[:-1])]
    first = np.arange(FRAMES) * HOP_LENGTH
    counted: NDArray[np.float32] = (crossed[first + FRAME_LENGTH - 1] - crossed[first]).astype(
        np.float32
    )
    return counted / np.float32(FRAME_LENGTH)


def _mfcc(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """(FRAMES, MFCC_COEFFICIENTS)."""
    mel = _filter_bank()(power_spectrum(frames, _hann(), FRAME_LENGTH))
    decibels = 10 * np.log10(np.maximum(mel, np.float32(LEAST_POWER)))
    limited = np.maximum(decibels, decibels.max() - np.float32(TOP_DB))
    coefficients: NDArray[np.float32] = limited @ _cosines()
    return coefficients


@lru_cache(maxsize=1)
def _hann() -> NDArray[np.float32]:
    """Periodic Hann window."""
    steps = np.arange(FRAME_LENGTH) / FRAME_LENGTH
    return (0.5 - 0.5 * np.cos(2 * np.pi * steps)).astype(np.float32)


@lru_cache(maxsize=1)
def _filter_bank() -> FilterBank:
    """Triangles on Slaney's mel scale, each of area 1 in Hz."""
    edges = _slaney_to_hertz(
        np.linspace(0, _slaney_mel(DESCRIPTOR_RATE / 2), MEL_BANDS + 2, dtype=np.float64)
    )
    bins = np.linspace(0, DESCRIPTOR_RATE / 2, FRAME_LENGTH // 2 + 1)[:, np.newaxis]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return FilterBank.of(
        np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))
    )


LINEAR_HERTZ = 200 / 3
"""Hz a mel below `KNEE_HERTZ`, where Slaney's scale turns logarithmic."""
KNEE_HERTZ = 1000.0
LOG_STEP = np.log(6.4) / 27


def _slaney_mel(hertz: float) -> float:
    if hertz < KNEE_HERTZ:
        return hertz / LINEAR_HERTZ
    return float(KNEE_HERTZ / LINEAR_HERTZ + np.log(hertz / KNEE_HERTZ) / LOG_STEP)


def _slaney_to_hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    knee = KNEE_HERTZ / LINEAR_HERTZ
    return np.where(
        mel < knee,
        mel * LINEAR_HERTZ,
        KNEE_HERTZ * np.exp(LOG_STEP * (np.maximum(mel, knee) - knee)),
    )


@lru_cache(maxsize=1)
def _cosines() -> NDArray[np.float32]:
    """Orthonormal DCT-II, (MEL_BANDS, MFCC_COEFFICIENTS)."""
    n, k = np.arange(MEL_BANDS) + 0.5, np.arange(MFCC_COEFFICIENTS)
    basis = np.cos(np.pi / MEL_BANDS * np.outer(n, k)) * np.sqrt(2 / MEL_BANDS)
    basis[:, 0] /= np.sqrt(2)
    return basis.astype(np.float32)
