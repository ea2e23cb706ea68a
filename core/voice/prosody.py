"""Speech as `voice-cnn` wants it: what `core.voice.features` shows, and its pitch and loudness.

A spectrogram of 64 mel bands shows where the pitch is only roughly, and by how its bands fare
together how loud each moment is. Told both outright, a network was 1.8 points better after a short
training, which may be chance (`models/voice-cnn/levers.json`).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from core.voice.activity import ABSOLUTE_FLOOR_DBFS, FRAME, HOP, prosody
from core.voice.features import HOP_LENGTH, MEL_BANDS, voice_tensor

PROSODY_COLUMNS = 4
COLUMNS = MEL_BANDS + PROSODY_COLUMNS
REFERENCE_HERTZ = 160.0
"""Between the usual pitch of men and that of women."""
LOUDNESS_RANGE_DB = 60.0
LOUDNESS_SCALE_DB = 20.0
PEAK = 0.9
"""Of full scale: recordings are brought to it, so that quiet voices have a pitch as loud ones have
and louder ones are not clipped."""
SILENT_PEAK = 1e-6
"""Of full scale: what stays below it is silence."""


def prosody_tensor(samples: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
    """A recording, trimmed; `core.voice.tensor.whole_steps` makes the network's input of it.

    Parameters
    ----------
    samples : float32 (n,), mono at `core.voice.features.SAMPLE_RATE`.

    Returns
    -------
    tensor : float32 (1, frames, COLUMNS, 1), what `core.voice.features.voice_tensor` gives and
        behind it `prosody_columns`.
    first : the frame of the recording where the tensor starts.
    """
    tensor, first = voice_tensor(samples)
    columns = prosody_columns(samples)[first : first + tensor.shape[1]]
    return np.concatenate([tensor, columns[np.newaxis, :, :, np.newaxis]], axis=2), first


def prosody_columns(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pitch and loudness of each frame of a recording.

    Returns
    -------
    float32 (1 + n // HOP_LENGTH, PROSODY_COLUMNS)
        Octaves above `REFERENCE_HERTZ`, octaves above the recording's median pitch (both 0 where
        nothing is voiced), whether the frame is voiced, and dB above `LOUDNESS_RANGE_DB` below the
        loudest frame, over `LOUDNESS_SCALE_DB`. Silence is 0 in all of them. How loud the
        recording is as a whole changes none of them.
    """
    frames = 1 + len(samples) // HOP_LENGTH
    peak = float(np.abs(samples).max(initial=0.0))
    if not math.isfinite(peak):
        samples = np.nan_to_num(samples, posinf=1.0, neginf=-1.0)
        peak = float(np.abs(samples).max(initial=0.0))
    if peak < SILENT_PEAK:
        return np.zeros((frames, PROSODY_COLUMNS), np.float32)
    found = prosody(np.pad(samples * np.float32(PEAK / peak), FRAME // 2))
    # Frame i here is centred on sample i * HOP_LENGTH, frame i there on sample i * HOP.
    nearest = np.minimum(np.rint(np.arange(frames) * HOP_LENGTH / HOP), len(found.pitch) - 1)
    pitch, level = found.pitch[nearest.astype(int)], found.level[nearest.astype(int)]
    voiced = ~np.isnan(pitch)
    octaves = np.log2(np.where(voiced, pitch, REFERENCE_HERTZ) / REFERENCE_HERTZ)
    middle = np.median(octaves[voiced]) if voiced.any() else 0.0
    loudness = np.maximum(0.0, level - level.max() + LOUDNESS_RANGE_DB) / LOUDNESS_SCALE_DB
    if level.max() <= ABSOLUTE_FLOOR_DBFS:  # of what moves too slowly to be heard
        loudness[:] = 0
    columns = [octaves, np.where(voiced, octaves - middle, 0.0), voiced, loudness]
    return np.stack(columns, axis=1).astype(np.float32)
