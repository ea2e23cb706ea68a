"""Other views of a voice than the spectrogram that ships, to try what they would be worth.

A view is float16 (frames, columns): one or more spectrograms of `MEL_BANDS` columns each, and
behind them, in one of the views, columns that say something of each frame as a whole.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.voice import features
from core.voice.activity import FRAME, HOP, prosody
from core.voice.features import HOP_LENGTH, MEL_BANDS, WINDOW_LENGTH

Samples = NDArray[np.float32]
View = NDArray[np.float16]

WINDOWS = (256, WINDOW_LENGTH, 2048)
"""Samples: 16 ms tells the pulses of a deep voice apart, 128 ms the harmonics of any."""

PROSODY_COLUMNS = 4
REFERENCE_HERTZ = 160.0
"""Between the usual pitch of men and that of women."""
LOUDNESS_RANGE_DB = 60.0
LOUDNESS_SCALE_DB = 20.0


def mel(samples: Samples) -> View:
    """What ships, (frames, MEL_BANDS)."""
    return features.voice_tensor(samples)[0][0, :, :, 0].astype(np.float16)


def windows(samples: Samples) -> View:
    """A spectrogram by each of `WINDOWS`, each standardised: (frames, 3 * MEL_BANDS)."""
    made = {length: features.log_mel_spectrogram(samples, length) for length in WINDOWS}
    first, last = features.trim(made[WINDOW_LENGTH])
    parts = [features.standardise(one[first:last]) for one in made.values()]
    return np.concatenate(parts, axis=1).astype(np.float16)


def with_prosody(samples: Samples) -> View:
    """What ships, then pitch and loudness: (frames, MEL_BANDS + PROSODY_COLUMNS).

    The last columns are octaves above `REFERENCE_HERTZ`, octaves above the clip's median pitch
    (both 0 where nothing is voiced), whether the frame is voiced, and dB above
    `LOUDNESS_RANGE_DB` below the loudest frame, over `LOUDNESS_SCALE_DB`. Silence is 0 in all.
    """
    spectrogram = features.log_mel_spectrogram(samples)
    first, last = features.trim(spectrogram)
    parts = [features.standardise(spectrogram[first:last]), _prosody(samples)[first:last]]
    return np.concatenate(parts, axis=1).astype(np.float16)


def _prosody(samples: Samples) -> NDArray[np.float32]:
    """(1 + n // HOP_LENGTH, PROSODY_COLUMNS)."""
    frames = 1 + len(samples) // HOP_LENGTH
    found = prosody(np.pad(samples, FRAME // 2))
    # Frame i of the one is centred on sample i * HOP_LENGTH, of the other on sample i * HOP.
    nearest = np.minimum(np.rint(np.arange(frames) * HOP_LENGTH / HOP), len(found.pitch) - 1)
    pitch, level = found.pitch[nearest.astype(int)], found.level[nearest.astype(int)]
    voiced = ~np.isnan(pitch)
    octaves = np.log2(np.where(voiced, pitch, REFERENCE_HERTZ) / REFERENCE_HERTZ)
    middle = np.median(octaves[voiced]) if voiced.any() else 0.0
    loudness = np.maximum(0.0, level - level.max() + LOUDNESS_RANGE_DB) / LOUDNESS_SCALE_DB
    columns = [octaves, np.where(voiced, octaves - middle, 0.0), voiced, loudness]
    return np.stack(columns, axis=1).astype(np.float32)


VIEWS = {"mel": mel, "windows": windows, "prosody": with_prosody}


def spectrogram_columns(view: NDArray[np.floating]) -> int:
    """How many of a view's columns are of spectrograms."""
    return view.shape[1] // MEL_BANDS * MEL_BANDS


def silence(view: NDArray[np.floating]) -> NDArray[np.float32]:
    """A frame of nothing, (columns,): the lowest cell of each spectrogram, 0 in what follows."""
    row = np.zeros(view.shape[1], np.float32)
    for first in range(0, spectrogram_columns(view), MEL_BANDS):
        row[first : first + MEL_BANDS] = view[:, first : first + MEL_BANDS].min()
    return row
