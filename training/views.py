"""What a voice network sees of a clip: as it ships, and other views that were tried beside it.

A view is float16 (frames, columns): one or more spectrograms of `MEL_BANDS` columns each, and
behind them columns that say something of each frame as a whole, if any.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from core.voice import features
from core.voice.features import WINDOW_LENGTH
from core.voice.prosody import prosody_columns, prosody_tensor

Samples = NDArray[np.float32]
View = NDArray[np.float16]

WINDOWS = (256, WINDOW_LENGTH, 2048)
"""Samples: 16 ms tells the pulses of a deep voice apart, 128 ms the harmonics of any."""


def mel(samples: Samples) -> View:
    """The spectrogram alone, (frames, MEL_BANDS)."""
    return features.voice_tensor(samples)[0][0, :, :, 0].astype(np.float16)


def with_prosody(samples: Samples) -> View:
    """What `voice-cnn` sees, (frames, MEL_BANDS + PROSODY_COLUMNS)."""
    return prosody_tensor(samples)[0][0, :, :, 0].astype(np.float16)


def windows(samples: Samples) -> View:
    """A spectrogram by each of `WINDOWS`, each standardised, then pitch and loudness.

    (frames, 3 * MEL_BANDS + PROSODY_COLUMNS)
    """
    made = {length: features.log_mel_spectrogram(samples, length) for length in WINDOWS}
    first, last = features.trim(made[WINDOW_LENGTH])
    parts = [features.standardise(one[first:last]) for one in made.values()]
    return np.concatenate([*parts, prosody_columns(samples)[first:last]], axis=1).astype(np.float16)


VIEW = "prosody"
"""The one of `VIEWS` that `voice-cnn` sees."""
VIEWS: dict[str, Callable[[Samples], View]] = {
    "mel": mel,
    "prosody": with_prosody,
    "windows": windows,
}
