"""What is needed, besides its network, to train, ship and describe each model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.face.tensor import FACE_PIXELS, FACE_TENSOR, face_tensor
from core.models import Task
from core.voice.descriptors import DESCRIPTORS
from core.voice.prosody import COLUMNS
from core.voice.tensor import DESCRIPTOR_WINDOWS, PROSODY_TENSOR, whole_steps
from training import face, fer2013, robust, voice, voice1d, voices
from training.architectures import DEEP

SMALL_BYTES = 4 * 1024 * 1024
"""Of a model that everybody gets."""
LARGE_BYTES = 100_000_000
"""Of the largest file that common hosts of repositories take."""

CALIBRATION_EXAMPLES = 300
"""Inputs from which int8 quantisation learns the range of every activation."""


@dataclass(frozen=True)
class Recipe:
    """How one model is made."""

    task: Task
    title: str
    architecture: str
    input: dict[str, Any]
    """Of the network; `size` in its shape stands for the size of the last stage's faces."""
    data: str
    """`{corpora}` in it stands for the voice sets that were there."""
    held_apart: str
    """How what the model is judged on was kept out of what it learnt from."""
    data_licence: str
    """`{licences}` in it stands for theirs."""
    limits: str
    train: Callable[..., object]
    """(build, data, run, epochs, fraction): train into the folder `run`. With a `plan` also
    `stages`, how many of them; where weights of ImageNet are taken, `imagenet`, whether to."""
    examples: Callable[[Path], list[NDArray[np.float32]]]
    """Data -> typical inputs of the network, for int8 calibration."""
    members: dict[str, dict[str, Any]]
    """Networks that answer together: folder of each below the run's -> its builder's arguments."""
    score: Callable[[NDArray[np.int64], NDArray[np.int64]], float]
    """(labels, answers) -> the measure by which quantisation is judged."""
    default: bool = True
    """Whether the app offers the model first of those for its task."""
    quantisations: tuple[str, ...] = ("int8", "dynamic", "float16")
    """In the order of preference, the fastest first."""
    largest_bytes: int = SMALL_BYTES
    """How large its file may be."""
    rounds: dict[str, int] = field(default_factory=dict)
    """How many stages each network goes through, by its folder, where none can be left out."""
    teachers: tuple[str, ...] = ()
    """Folders of networks that do not ship and taught those that do."""
    beside: str = ""
    """An installed face model that answers along, with the weights of its file; none by default."""
    plan: tuple[str, ...] = ()
    """Its stages in a word each, where the last ones can be left out."""
    imagenet: bool = False
    """Whether it starts from ImageNet's weights where these can be had."""
    forerunner: str = ""
    """Name of the smaller network that it grows out of where they cannot."""


def _face_examples(data: Path) -> list[NDArray[np.float32]]:
    images = fer2013.training_splits(data)["train"].images
    rows = np.random.default_rng(0).permutation(len(images))[:CALIBRATION_EXAMPLES]
    return [face_tensor(images[i]) for i in rows]


def _voice_examples(data: Path) -> list[NDArray[np.float32]]:
    train = [clip for clip in voices.clips(data) if clip.split == "train"]
    rows = np.random.default_rng(0).permutation(len(train))[:CALIBRATION_EXAMPLES]
    heard = voices.hear(data, [train[i] for i in rows])
    return [whole_steps(samples)[0] for samples in heard.samples]


GREY_FACES = {"shape": ["n", 48, 48, 1], "preprocessing": FACE_TENSOR}
FACE_DATA = (
    "FER2013 Training (copies of PublicTest and PrivateTest images removed); "
    "chosen and calibrated on PublicTest; judged on PrivateTest"
)
FACE_HELD_APART = "No copy of a test picture stands in the training data."
FACE_LICENCE = "FER2013: Kaggle competition data, research use"
FACE_LIMITS = (
    "FER2013's pictures were found by web searches for emotion words and labelled by a few people, "
    "often wrongly; who is in them (age, sex, origin) is not recorded, so that fairness by these "
    "could not be measured."
)


VOICE_DATA = (
    "{corpora}, split by speaker; chosen and calibrated on the validation "
    "speakers; judged on the test speakers"
)
VOICE_HELD_APART = "Nobody who is heard in the test was heard in training."
VOICE_LICENCES = {
    "ravdess": "CC BY-NC-SA 4.0",
    "crema_d": "ODbL 1.0",
    "savee": "research use",
    "tess": "CC BY-NC-ND 4.0",
}
"""Of each corpus."""
VOICE_LIMITS = (
    "All its speakers are adults who act in English; it was not measured on children, other "
    "languages or unacted speech."
)


def _accuracy(labels: NDArray[np.int64], answers: NDArray[np.int64]) -> float:
    return float(np.mean(labels == answers))


RECIPES: dict[str, Recipe] = {
    "face-cnn": Recipe(
        task="face",
        title="Compact face network",
        architecture="Residual CNN with squeeze-and-excitation on 48x48 grey faces; "
        "seven 1x1-convolution evidence maps, averaged to logits",
        input=GREY_FACES,
        data=FACE_DATA,
        held_apart=FACE_HELD_APART,
        data_licence=FACE_LICENCE,
        limits=FACE_LIMITS,
        train=face.train,
        examples=_face_examples,
        members={"": {}},
        score=_accuracy,
        plan=face.COMPACT.plan,
    ),
    "face-cnn-large": Recipe(
        task="face",
        title="Larger face network",
        architecture="Two residual CNNs with squeeze-and-excitation on 48x48 grey faces, a deep "
        "one and that of face-cnn, as one network that averages their seven evidence maps; these "
        "averaged are the logits",
        input=GREY_FACES,
        data=FACE_DATA,
        held_apart=FACE_HELD_APART,
        data_licence=FACE_LICENCE,
        limits=FACE_LIMITS,
        train=face.train_deep,
        examples=_face_examples,
        members={DEEP["name"]: DEEP},
        rounds={DEEP["name"]: len(face.LARGE.stages)},
        beside="face-cnn",
        score=_accuracy,
        default=False,
        largest_bytes=LARGE_BYTES,
    ),
    "face-efficientnetb7": Recipe(
        task="face",
        title="The paper's face network",
        architecture="EfficientNetB7, maximum pooling to 2,560 features, batch normalisation, "
        "dense 256 (L2 on the kernel, L1 on activity and bias), dropout 0.45, dense 7, on faces "
        "enlarged to RGB pictures",
        input={"shape": ["n", "size", "size", 3], "preprocessing": FACE_PIXELS},
        data=FACE_DATA,
        held_apart=FACE_HELD_APART,
        data_licence=FACE_LICENCE,
        limits=FACE_LIMITS,
        train=partial(face.train, course=face.PAPER),
        examples=lambda _data: [],  # its activations are not quantised ahead
        members={"": {}},
        score=_accuracy,
        default=False,
        # Quantising its activations costs accuracy, and float16 is too large.
        quantisations=("dynamic",),
        largest_bytes=LARGE_BYTES,
        plan=face.PAPER.plan,
        imagenet=True,
        forerunner=face.SMALL_FIRST.name,
    ),
    "face-cnn-robust": Recipe(
        task="face",
        title="Compact face network, hardened",
        architecture="The network of face-cnn, which went on learning from faces changed on "
        "purpose to mislead it (fast adversarial training)",
        input=GREY_FACES,
        data="The weights of face-cnn as it shipped then (read out of its int8 file), then FER2013 "
        "Training (copies of PublicTest and PrivateTest images removed), half of each batch "
        "attacked by one step of up to 1 to 4 grey levels a pixel; chosen and calibrated on "
        "PublicTest; judged on PrivateTest",
        held_apart=FACE_HELD_APART,
        data_licence=FACE_LICENCE,
        limits="It errs more often than face-cnn on pictures that nobody tampered with; how often "
        "both err on tampered ones is in adversarial.json. " + FACE_LIMITS,
        train=robust.train,
        examples=_face_examples,
        members={"": {}},
        score=_accuracy,
        default=False,
    ),
    "voice-cnn": Recipe(
        task="voice",
        title="Compact voice networks",
        architecture="Two residual CNNs on log-mel spectrograms, pitch and loudness, each with "
        "four-headed attention pooling over time, as one network that averages their logits",
        input={
            "shape": ["n", "frames", COLUMNS, 1],
            "preprocessing": PROSODY_TENSOR,
        },
        data=VOICE_DATA,
        held_apart=VOICE_HELD_APART,
        data_licence="{licences}",
        limits=VOICE_LIMITS,
        train=voice.train,
        examples=_voice_examples,
        members={
            one.name: {"widths": one.widths, "blocks": one.blocks, "name": one.name}
            for one in voice.NETWORKS
            if one.name in voice.ANSWERING
        },
        rounds={one.name: len(one.plan) for one in voice.NETWORKS},
        teachers=tuple(one.name for one in voice.NETWORKS if one.name not in voice.ANSWERING),
        score=_accuracy,
    ),
    "voice-cnn1d": Recipe(
        task="voice",
        title="The paper's voice network",
        architecture="1-D CNN (512, 512, 256, 256 and 128 filters, dense 512) along stacked "
        "zero-crossing rate, energy and 20 MFCC of 108 frames, standard-scaled; windows of 2.5 s "
        "count alike",
        input={"shape": ["n", DESCRIPTORS, 1], "preprocessing": DESCRIPTOR_WINDOWS},
        data=VOICE_DATA,
        held_apart=VOICE_HELD_APART,
        data_licence="{licences}",
        limits="It hears 2.5 s at once and does not say which moments mattered. Recordings are "
        "brought to 16 kHz before its 22,050 Hz, so that no corpus is told by sound above 8 kHz. "
        + VOICE_LIMITS,
        train=voice1d.train,
        examples=lambda _data: [],  # its activations are not quantised ahead
        members={"": {}},
        score=_accuracy,
        default=False,
        quantisations=("dynamic", "float16"),
        largest_bytes=LARGE_BYTES,
    ),
}
