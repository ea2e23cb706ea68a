"""Which function of `core.voice` turns speech into a network's input.

A model's `model.json` names the one it was trained with, at `input.preprocessing`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from core.errors import DuetError
from core.models import ModelInfo
from core.voice import descriptors, features, prosody

FRAMES_PER_STEP = 8
"""Of networks on spectrograms: their strides over time multiply to this."""
STEP_SECONDS = FRAMES_PER_STEP * features.HOP_LENGTH / features.SAMPLE_RATE
"""One step of evidence every 128 ms."""

VOICE_TENSOR = "core.voice.features.voice_tensor"
PROSODY_TENSOR = "core.voice.tensor.whole_steps"
DESCRIPTOR_WINDOWS = "core.voice.descriptors.descriptor_windows"

Tensor = tuple[NDArray[np.float32], NDArray[np.float64]]


@dataclass(frozen=True)
class VoiceInput:
    """How a model wants speech, and how much time a step of its evidence stands for."""

    prepare: Callable[[NDArray[np.float32]], Tensor]
    step_seconds: float

    def __call__(self, samples: NDArray[np.float32]) -> Tensor:
        """Samples float32 (n,) at 16 kHz -> the network's input (rows, ...), start of each row.

        The starts, (rows,), are seconds into the samples.
        """
        return self.prepare(samples)


Frames = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], int]]


def whole_steps(samples: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
    """`core.voice.prosody.prosody_tensor`, with silence behind it up to the end of its last step.

    Networks learn from whole steps alone. Of others their strides and their averages over a step
    would see frames that are up to half a step apart, which cost 0.01 of the log loss.
    """
    tensor, first = prosody.prosody_tensor(samples)
    view = tensor[0, :, :, 0]
    whole = features.padded(view, len(view) + -len(view) % FRAMES_PER_STEP)
    return whole[np.newaxis, :, :, np.newaxis], first


def _timed(make: Frames, samples: NDArray[np.float32]) -> Tensor:
    tensor, first = make(samples)
    return tensor, np.array([first * features.HOP_LENGTH / features.SAMPLE_RATE])


INPUTS = {
    VOICE_TENSOR: VoiceInput(partial(_timed, features.voice_tensor), STEP_SECONDS),
    PROSODY_TENSOR: VoiceInput(partial(_timed, whole_steps), STEP_SECONDS),
    DESCRIPTOR_WINDOWS: VoiceInput(descriptors.descriptor_windows, descriptors.WINDOW_SECONDS),
}
"""By the names that models use."""


def voice_input(info: ModelInfo) -> VoiceInput:
    """What `model.json` says of the input; a card that says nothing means `voice_tensor`.

    Raises
    ------
    DuetError
        `damaged_model` when it asks for something that Duet does not know.
    """
    stated = info.card.get("input")
    name = stated.get("preprocessing", VOICE_TENSOR) if isinstance(stated, dict) else VOICE_TENSOR
    if not isinstance(name, str) or name not in INPUTS:
        raise DuetError(
            "damaged_model",
            f"{info.name}/model.json asks for the preprocessing {name!r}, which this Duet does "
            "not know; update Duet or remove the model's folder.",
        )
    return INPUTS[name]
