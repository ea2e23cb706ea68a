"""Random changes to training clips: in the waveform (once, cached) and in the spectrogram."""

from __future__ import annotations

import io

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from core.voice.change import Samples, add_noise, change_pitch_and_tempo
from core.voice.features import MEL_BANDS, SAMPLE_RATE, padded, silence, spectrogram_columns

Random = np.random.Generator

SHORTEST_TEMPO = 0.9
"""To what share of its length a spectrogram is warped at most."""


def reverberate(samples: Samples, seconds: float, wet: float, rng: Random) -> Samples:
    """Convolve with exponentially decaying noise: a room of that reverberation time (60 dB)."""
    length = int(seconds * SAMPLE_RATE)
    decay = np.exp(-6.9 * np.arange(length) / length)
    response = rng.standard_normal(length) * decay
    response *= wet / np.sqrt(np.sum(response**2))
    response[0] += 1.0
    size = len(samples) + length
    product = np.fft.rfft(samples, size) * np.fft.rfft(response, size)
    return np.fft.irfft(product, size)[: len(samples)].astype(np.float32)


def band_limit(samples: Samples, low: float, high: float) -> Samples:
    """Attenuate below `low` and above `high` Hz by 30 dB, as small speakers and telephones do."""
    spectrum = np.fft.rfft(samples)
    frequency = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    spectrum[(frequency < low) | (frequency > high)] *= 0.03
    return np.fft.irfft(spectrum, len(samples)).astype(np.float32)


def through_codec(samples: Samples, bit_rate: int) -> Samples:
    """Encode as MP3 at `bit_rate` bits a second and decode again."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=SAMPLE_RATE, layout="mono")
        stream.bit_rate = bit_rate
        peak = max(1.0, float(np.abs(samples).max()))
        frame = av.AudioFrame.from_ndarray(
            (samples / peak)[np.newaxis], format="fltp", layout="mono"
        )
        frame.sample_rate = SAMPLE_RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer, "r") as encoded:
        parts = [f.to_ndarray()[0] for f in encoded.decode(audio=0)]
    return np.concatenate(parts).astype(np.float32)


def random_voice(samples: Samples, rng: Random) -> Samples:
    """An augmented copy of a clip: pitch, tempo, some of noise, room, band, codec, clipping."""
    if rng.random() < 0.8:
        pitch = 2 ** (rng.uniform(-2, 2) / 12)  # two semitones: more would change the emotion
        samples = change_pitch_and_tempo(samples, pitch, rng.uniform(0.88, 1.14))
    if rng.random() < 0.35:
        samples = reverberate(samples, rng.uniform(0.1, 0.6), rng.uniform(0.2, 0.9), rng)
    if rng.random() < 0.5:
        samples = add_noise(samples, rng.uniform(5, 30), rng.choice([0.0, 1.0, 2.0]), rng)
    if rng.random() < 0.2:
        samples = band_limit(samples, rng.uniform(50, 300), rng.uniform(3000, 7000))
    if rng.random() < 0.25:
        samples = through_codec(samples, int(rng.choice([16_000, 24_000, 32_000])))
    if rng.random() < 0.1:
        limit = float(np.abs(samples).max()) * rng.uniform(0.2, 0.6)
        samples = np.clip(samples, -limit, limit)
    return samples


def random_spectrogram(
    spectrogram: NDArray[np.floating], frames: int, masking: float, rng: Random
) -> NDArray[np.float32]:
    """Warp, filter, mask and cut or pad one view of a voice (`training.views`) to `frames`.

    A small affine warp moves frequency (vocal tract length) and tempo, a random smooth curve
    over frequency stands for another microphone (FilterAugment), two bands and two stretches of
    time are blanked (SpecAugment), `masking` times as wide as usual. What is done to frequency is
    done to each spectrogram of the view alike, and not to the columns behind them.
    """
    x = np.asarray(spectrogram, np.float32)
    floor = silence(x)
    bands = spectrogram_columns(x)
    stretch, shift, scale = (
        rng.uniform(SHORTEST_TEMPO, 1.1),
        rng.uniform(-1.5, 1.5),
        rng.uniform(0.95, 1.05),
    )
    length = max(8, round(len(x) * stretch))
    matrix = np.array([[scale, 0, shift], [0, stretch, 0]])
    parts = [
        _warped(x[:, at : at + MEL_BANDS], matrix, length) for at in range(0, bands, MEL_BANDS)
    ]
    if x.shape[1] > bands:
        only_time = np.array([[1.0, 0, 0], [0, stretch, 0]])
        parts.append(_warped(x[:, bands:], only_time, length))
    x = np.concatenate(parts, axis=1)
    if rng.random() < 0.7:
        knots = rng.uniform(-0.5, 0.5, rng.integers(3, 7))
        curve = np.interp(
            np.linspace(0, 1, MEL_BANDS), np.linspace(0, 1, len(knots)), knots
        ).astype(np.float32)
        x[:, :bands] += np.tile(curve, bands // MEL_BANDS)
    for _ in range(2):
        width = int(rng.integers(0, 1 + round(8 * masking)))
        first = int(rng.integers(0, MEL_BANDS - width + 1))
        for at in range(first, bands, MEL_BANDS):
            x[:, at : at + width] = 0.0
        width = int(rng.integers(0, 1 + round(length / 8 * masking)))
        first = int(rng.integers(0, length - width + 1))
        x[first : first + width] = 0.0
    if length > frames:
        first = int(rng.integers(0, length - frames + 1))
        return x[first : first + frames]
    before = int(rng.integers(0, frames - length + 1))
    return padded(x, frames, before, floor)


def random_prosody(view: NDArray[np.floating], strength: float, rng: Random) -> NDArray[np.float32]:
    """A view with its columns of pitch and loudness (`core.voice.prosody`) changed, if it has any.

    Three of ten clips lose them. Of the others the octaves above `REFERENCE_HERTZ` are moved, with
    a standard deviation of 0.15, those above the clip's own median are stretched by up to a
    quarter, the loudness by up to a fifth; all of that times `strength`. Few actors are heard in
    training, and each has a pitch of their own to be known by.
    """
    x = np.array(view, np.float32)
    bands = spectrogram_columns(x)
    if not strength or x.shape[1] == bands:
        return x
    if rng.random() < 0.3 * strength:
        x[:, bands:] = 0
        return x
    octaves, relative, voiced, loudness = x[:, bands:].T  # views, so that x changes
    octaves += voiced * np.float32(rng.normal(0, 0.15 * strength))
    relative *= np.float32(rng.uniform(1 - 0.25 * strength, 1 + 0.25 * strength))
    loudness *= np.float32(rng.uniform(1 - 0.2 * strength, 1 + 0.2 * strength))
    return x


def _warped(
    x: NDArray[np.float32], matrix: NDArray[np.float64], length: int
) -> NDArray[np.float32]:
    warped = cv2.warpAffine(
        x, matrix, (x.shape[1], length), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(warped, np.float32)
