"""How the face networks are trained: on FER2013, small pictures first and then larger ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from core.face.classify import classify
from core.face.tensor import FACE_PIXELS, FACE_SIZE, FACE_TENSOR, FaceInput
from core.labels import EMOTIONS
from core.models import Model, find, probabilities
from training import checks, fer2013
from training.architectures import (
    DEEP,
    SMALLER_EFFICIENTNET,
    face_efficientnetb7,
    take_imagenet_weights,
)
from training.augment_face import GENTLE, KERAS, STRONG, FaceAugmentation, augmented_faces
from training.files import DataSetError
from training.grow import grow, quick_to_average, without_dropout
from training.loop import Batches, Schedule, fit, one_hot
from training.mixing import cut_and_mixed, mixed_up
from training.pointwise import as_matrix_products
from training.precision import has_accelerator
from training.rand_augment import rand_augmented
from training.twin import read_out


@dataclass(frozen=True)
class Stage:
    """A stretch of training: how long, on which size, how strongly augmented."""

    schedule: Schedule
    size: int
    """Pixels a side of a training face."""
    augmentation: FaceAugmentation
    small_share: float = 0.0
    """Share of the epochs, the first ones, that see faces of `small_size`: at less cost."""
    small_size: int = 32
    judged_size: int = FACE_SIZE
    """Pixels a side of the validation faces of a network on `face_tensor`s."""
    mixup: float = 0.0
    """Share of the faces that are mixed with another (`training.mixing`)."""
    cutmix: float = 0.0
    """Share of the faces that get a rectangle of another."""
    operations: int = 0
    """Of RandAugment (`training.rand_augment`) on each face, before all other changes."""
    balanced: bool = False
    """Whether rare emotions count more: each by the inverse root of how often it occurs."""
    shared_labels: bool = False
    """Whether pictures that occur several times get the mean of their labels."""
    teacher: str = ""
    """Name of an installed model whose answers make half of each face's target (Hinton et al.
    2015, "Distilling the Knowledge in a Neural Network"); none by default."""
    own_teacher: int = 0
    """Number of an earlier stage whose weights make half of each face's target in the same way, as
    stages are counted at run time (a forerunner's own comes first); 0 for none. Many of FER2013's
    labels are wrong, and would otherwise be learnt by heart."""


@dataclass(frozen=True)
class Forerunner:
    """A smaller network that learns the faces first where there are no weights to start from.

    An epoch of it costs an eighth of one of the large network, which begins with what it learnt
    (`training.grow`).
    """

    name: str
    build: Callable[[], keras.Model]
    stages: tuple[Stage, ...]
    then: Stage
    """First stage of what grew out of it, before the course's own."""


@dataclass(frozen=True)
class Course:
    """All that a network goes through, each stage from the best weights of the one before."""

    stages: tuple[Stage, ...]
    preprocessing: str = FACE_TENSOR
    """By which function of `core.face.tensor` faces become the network's input. With
    `face_tensor` the network is validated at the stage's `judged_size`, with `face_pixels` on faces
    as large as the stage's."""
    imagenet: bool = False
    """Whether it starts from ImageNet's weights where these can be had."""
    forerunner: Forerunner | None = None
    """What a network that would take ImageNet's weights grows out of where these cannot be had;
    random weights by default."""
    pointwise: bool = False
    """Whether its 1x1 convolutions are trained as products of matrices where there is no
    accelerator (`training.pointwise`)."""
    workers: int = 1
    """Threads that make batches beside the network."""

    @property
    def plan(self) -> tuple[str, ...]:
        """Each stage in a word."""
        return tuple(f"{stage.size} px" for stage in self.stages)


_DECAYED = Schedule(epochs=80, decay_epochs=90, weight_decay=5e-3)
"""Keras applies the decay outside the momentum. Where it goes through it, as in PyTorch, it acts
ten times as strongly (at 0.9): this equals the customary 5e-4 there."""

_SHARP = replace(
    _DECAYED,
    epochs=6,
    decay_epochs=None,
    learning_rate=0.02,
    warmup_epochs=0.5,
    sharpness=0.1,
    dtype_policy="float32",
)

_AGAIN = Stage(
    replace(
        _DECAYED,
        epochs=24,
        decay_epochs=26,
        learning_rate=0.06,
        warmup_epochs=1.0,
        label_smoothing=0.0,
        seed=8,
    ),
    44,
    STRONG,
    small_share=1 / 3,
    small_size=36,
    own_teacher=2,
)
"""The beginning of a second round, taught by what the network answered at the end of the first.

The round was worth little accuracy (validation 70.2% before and 70.8% after, as int8, McNemar's p
0.16; test 70.7 and 70.6%) but better probabilities: log loss 0.843 and 0.833 on validation, 0.815
and 0.805 on test faces, lower by 0.002 to 0.017 in 95% of draws."""

COMPACT = Course(
    (
        Stage(_DECAYED, 44, STRONG, small_share=0.4),
        Stage(_SHARP, FACE_SIZE, GENTLE),
        _AGAIN,
        Stage(
            replace(_SHARP, epochs=3, label_smoothing=0.0, seed=9),
            FACE_SIZE,
            GENTLE,
            own_teacher=2,
        ),
    )
)
"""Both rounds end where the network is used: at full size, on faces little changed (Touvron et al.
2019, "Fixing the train-test resolution discrepancy"). Six plain epochs instead of the sharpness-
aware ones: validation accuracy 70.0 instead of 70.4%, log loss 0.88 instead of 0.86. From the
start, in short runs (`training.levers`), sharpness costs 3 points and the decay changes nothing.

Left out: a second network that went on from the first round (16 epochs from the first rate on, then
4 sharpness-aware ones: 69.9%) and answered together with it, at twice the cost: 70.6 instead of
70.2% (both as int8, p 0.23), log loss 0.841 instead of 0.843. The mean of both networks' weights
fell to 65.6%, and faces that were also asked about cropped, shifted, turned or enlarged to 52 to 64
px brought nothing."""

LARGE = Course(
    (
        Stage(
            replace(_DECAYED, epochs=50, decay_epochs=54, label_smoothing=0.0, seed=17),
            44,
            STRONG,
            small_share=0.5,
            teacher="face-cnn",
        ),
        Stage(
            replace(_SHARP, epochs=2, label_smoothing=0.0, seed=18),
            FACE_SIZE,
            GENTLE,
            teacher="face-cnn",
        ),
    )
)
"""Of the deep network in `face-cnn-large`: one round, half of every target being what `face-cnn`
answers, since many of the labels are wrong.

In these 2 h on one core it came to 69.5% on validation faces (log loss 0.845), and together with
`face-cnn` to 71.1% as int8, where `face-cnn` alone has 70.8% (p 0.36; log loss 0.826 and 0.833; on
test faces 70.5 and 70.6%, log loss 0.798 and 0.805): too little for two and a half times the work,
so it does not ship. Their answers are much alike (the logits correlate at 0.96), and probably not
because one taught the other. Two trainings by the labels alone (commit 00c3371; in float32, where
`face-cnn` has 70.7% and the pair above 71.2%) did not help: 40 more epochs left the deep one at
69.5%, and both came to 70.9% (log loss 0.823); a second network like `face-cnn`, from other random
weights (72 epochs: 69.0%), came to 70.6% together with it, and all three to 70.7%. The logits of
each two correlate at 0.97, and of the faces on which `face-cnn` errs each other one gets 88% wrong.
So more networks that learn from faces changed in this way are not worth their time.

Nor are larger faces worth theirs (float32, 1.8 times the work). `face-cnn` went on for 36 epochs on
faces of 52 and then 64 px, by the labels alone, turned and blanked less and without other gammas,
blur and noise (commit e42e004): 70.2% (p 0.43), log loss 0.855, and together with `face-cnn` 71.1%
(p 0.36), log loss 0.822. It learnt by heart: before its last two epochs, which are sharpness-aware,
it had 89% of its training faces right, as they are changed in training, but 69.9% of the validation
faces (log loss 0.913). Fourteen other epochs at 64 px went on from the weights after its 18th (12
from a rate of 0.035 on, changed by `STRONG`, then 2 like the last of `COMPACT`; half taught by
`face-cnn`; in no commit): 70.1% (p 0.22), with better probabilities, log loss 0.823.

Nor is width: a network twice as wide in every layer (6.4 M parameters, 3.2 times the work), grown
out of `face-cnn` (`training.grow`) and half taught by it, had 19 epochs at 36 px and 5 at 44 px
from a rate of 0.08 on, changed by `STRONG` (in no commit): 70.2% (p 0.29), log loss 0.845, and
70.7% together with `face-cnn`, log loss 0.828. At each rate it was a little below what the narrow
one had in its second round.

Difference helps a little: of eight such networks the best three together, `face-cnn`, the deep one
and that of the 36 epochs on larger faces, found by these very figures, come to 71.5% (p 0.022), log
loss 0.812. At 4.3 times the work that is less than the point which a larger model has to win."""

_ADAMAX = Schedule(
    epochs=20,
    optimiser="adamax",
    batch_size=64,
    learning_rate=1e-3,
    warmup_epochs=1.0,
    weight_decay=0.0,
    label_smoothing=0.0,
    dtype_policy="float32",
)


def _beginner() -> keras.Model:
    """The paper's network with EfficientNetB0 in it and nothing that holds it back."""
    network = face_efficientnetb7(SMALLER_EFFICIENTNET, regularised=False)
    return quick_to_average(without_dropout(network))


_NOTHING_YET = Schedule(
    epochs=10,
    decay_epochs=50,
    learning_rate=0.05,
    warmup_epochs=1.0,
    weight_decay=5e-3,
    label_smoothing=0.0,
    dtype_policy="float32",
)
"""What gets an EfficientNet going from random weights: SGD rather than Adamax, and faces little
changed, of the smallest size it takes. The decay is that of `_DECAYED`."""

SMALL_FIRST = Forerunner(
    "EfficientNetB0",
    _beginner,
    (
        Stage(_NOTHING_YET, 32, GENTLE),
        Stage(
            replace(_NOTHING_YET, epochs=36, decay_epochs=None, warmup_epochs=0.5),
            FACE_SIZE,
            STRONG,
        ),
        Stage(
            replace(
                _NOTHING_YET,
                epochs=8,
                decay_epochs=None,
                learning_rate=0.02,
                warmup_epochs=0.2,
            ),
            FACE_SIZE,
            GENTLE,
        ),
    ),
    then=Stage(
        replace(_ADAMAX, epochs=2, batch_size=128, learning_rate=2e-4, warmup_epochs=0.2),
        FACE_SIZE,
        KERAS,
    ),
)
"""Most of its epochs see faces of the size that they have: 62.2% on validation faces, 59.7% before
the last eight epochs. An EfficientNet that saw them at 32 pixels alone, for 20 epochs, came to
51.4%."""

PAPER = Course(
    (
        Stage(replace(_ADAMAX, decay_epochs=26, batch_size=128), 64, KERAS, small_share=0.6),
        Stage(
            replace(_ADAMAX, epochs=8, learning_rate=5e-4, dtype_policy="mixed_bfloat16"),
            128,
            KERAS,
        ),
        Stage(
            replace(
                _ADAMAX,
                epochs=6,
                batch_size=32,
                learning_rate=3e-4,
                dtype_policy="mixed_bfloat16",
            ),
            224,
            KERAS,
        ),
    ),
    preprocessing=FACE_PIXELS,
    imagenet=True,
    forerunner=SMALL_FIRST,
    pointwise=True,
    workers=4,
)
"""Twelve times the arithmetic lies between the first size and the last, so the many epochs are
spent on small pictures, in batches so large that a processor is kept busy by the many small
layers. These are in float32, which processors without bfloat16 units calculate sooner; the stages
that ask for a GPU are not."""


def predicted_logits(
    model: keras.Model, images: np.ndarray, prepared: FaceInput, batch_size: int = 256
) -> np.ndarray:
    """Logits (n, 7) of uint8 faces (n, h, w), mean of each face and its mirror image."""
    count = min(len(images), batch_size, prepared.at_once(2 * batch_size))

    def asked(start: int) -> np.ndarray:
        # The last batch is filled up: a batch of another shape would be compiled anew.
        x = prepared(images[np.arange(start, start + count) % len(images)])
        both = [model.predict_on_batch(x[:, :, ::step])["logits"] for step in (1, -1)]
        return (both[0] + both[1]) / 2

    parts = [asked(start) for start in range(0, len(images), count)]
    return np.concatenate(parts)[: len(images)]


def train(
    build: Callable[[], keras.Model],
    data: Path,
    run: Path,
    epochs: int | None = None,
    fraction: float = 1.0,
    stages: int | None = None,
    imagenet: bool = True,
    course: Course = COMPACT,
) -> Path:
    """Train on FER2013's Training split, choose on PublicTest; return the best weights.

    Parameters
    ----------
    epochs : of every stage, instead of its own. fraction : share of the faces to train on.
    stages : how many of the course's stages, the first ones; all by default.
    imagenet : False goes without ImageNet's weights where the course would take them: it grows
        out of the course's forerunner, or starts from random weights where that has none.
    """
    splits = fer2013.training_splits(data)
    for name in ("train", "validation"):
        faces = fer2013.share(splits[name], fraction, course.stages[0].schedule.seed)
        checks.told(faces.labels, faces.left_out, f"FER2013's {name}")
    facts: dict[str, Any] = {}
    weights: Path | None = None
    before: Forerunner | None = None
    words = ""
    if course.imagenet:
        weights, words = _start(build, run, imagenet)
        before = course.forerunner if weights is None else None
        facts["initial_weights"] = words if before is None else f"{GROWN} {before.name}"
        _same_start(run, facts["initial_weights"])
    if before is not None:
        course = replace(course, stages=(before.then, *course.stages))
    if (stages or 0) > len(course.stages):
        start = facts.get("initial_weights", "random weights")
        raise DataSetError(f"From {start} it has {len(course.stages)} stages.")
    if before is not None:
        weights = run / GROWN_WEIGHTS
        if not (_first_state(run).exists() and weights.exists()):
            _grow(before, build, splits, run, course, epochs, fraction, words)
        build = _quick(build)
    course = replace(course, stages=course.stages[:stages])
    return _through(build, splits, run, course, epochs, fraction, weights, facts)


def train_deep(
    build: Callable[..., keras.Model],
    data: Path,
    run: Path,
    epochs: int | None = None,
    fraction: float = 1.0,
) -> Path:
    """`train` the deep network of `face-cnn-large` in its folder of the run.

    Raises
    ------
    DataSetError
        When the model that teaches it, and answers along in the end, cannot be read out.
    """
    read_out(find("face", LARGE.stages[0].teacher), fer2013.load(data)["validation"])
    deep = partial(build, **DEEP)
    return train(deep, data, run / DEEP["name"], epochs, fraction, course=LARGE)


FORERUNNER = "forerunner"
"""Folder of its run, below the large network's."""
GROWN_WEIGHTS = "grown.weights.h5"
GROWN = "weights grown from those of a smaller network that had learnt the same faces,"


def _first_state(run: Path) -> Path:
    return run / "stage1/state.json"


def _same_start(run: Path, words: str) -> None:
    """Refuse a run that began with other weights, before anything is trained for it."""
    path = _first_state(run)
    if path.exists() and json.loads(path.read_text())["recipe"].get("initial_weights") != words:
        raise DataSetError(
            f"{run} holds a run that did not begin with {words}. Remove the folder to start anew."
        )


def _quick(build: Callable[[], keras.Model]) -> Callable[[], keras.Model]:
    return lambda: quick_to_average(build())


def _grow(
    before: Forerunner,
    build: Callable[[], keras.Model],
    splits: dict[str, fer2013.Faces],
    run: Path,
    course: Course,
    epochs: int | None,
    fraction: float,
    words: str,
) -> None:
    """Train the forerunner and write the large network that answers like it to `GROWN_WEIGHTS`.

    `words` say what the forerunner begins with. What of it is trained already is not trained anew.
    """
    print(f"first its forerunner, {before.name}", flush=True)
    best = _through(
        before.build,
        splits,
        run / FORERUNNER,
        replace(course, stages=before.stages),
        epochs,
        fraction,
        None,
        {"initial_weights": words},
    )
    small, large = before.build(), build()
    small.load_weights(best)
    grow(small, large)
    part = run / "growing.weights.h5"
    large.save_weights(part)
    part.replace(run / GROWN_WEIGHTS)


def _through(
    build: Callable[[], keras.Model],
    splits: dict[str, fer2013.Faces],
    run: Path,
    course: Course,
    epochs: int | None,
    fraction: float,
    weights: Path | None,
    facts: dict[str, Any],
) -> Path:
    """A network's way through the course, each stage from the best weights of the one before."""
    ends: list[Path] = []
    for number, stage in enumerate(course.stages, 1):
        stage = replace(stage, schedule=stage.schedule.lasting(epochs))
        print(f"stage {number} of {len(course.stages)}", flush=True)
        teacher = ends[stage.own_teacher - 1] if stage.own_teacher else None
        weights = train_stage(
            build, splits, run / f"stage{number}", course, stage, fraction, weights, facts, teacher
        )
        ends.append(weights)
        facts = {}
    return ends[-1]


def _start(build: Callable[[], keras.Model], run: Path, imagenet: bool) -> tuple[Path | None, str]:
    """Weights to start from, and what they are; a run that goes on keeps what it started from."""
    if not imagenet:
        return None, "random weights"
    weights, words = run / "start.weights.h5", run / "start.json"
    if not words.exists():
        run.mkdir(parents=True, exist_ok=True)
        words.write_text(json.dumps(_fetched(build, weights)))
    start: str = json.loads(words.read_text())
    return (weights if weights.exists() else None), start


def _fetched(build: Callable[[], keras.Model], path: Path) -> str:
    """Write the network with ImageNet's weights to `path`, if they can be had; what it starts from.

    Keras keeps them in `~/.keras/models`; put there, they are found without a network too.
    """
    model = build()
    try:
        take_imagenet_weights(model)
    except Exception as error:  # noqa: BLE001  Keras raises nothing more exact
        print(f"ImageNet's weights cannot be had, so it starts without them: {error}")
        return "random weights, as ImageNet's could not be had"
    model.save_weights(path)
    return "ImageNet weights"


def train_stage(
    build: Callable[[], keras.Model],
    splits: dict[str, fer2013.Faces],
    run: Path,
    course: Course,
    stage: Stage,
    fraction: float,
    start: Path | None,
    facts: dict[str, Any],
    teacher: Path | None = None,
) -> Path:
    """A network's way through one stage; the weights that validated best.

    Parameters
    ----------
    splits : of FER2013. run : folder of checkpoints. start : weights to start from.
    facts : what else the run depends on, kept with it. teacher : weights of its own teacher.
    """
    schedule = stage.schedule
    seed = course.stages[0].schedule.seed  # all stages learn from the same share of the faces
    faces = fer2013.share(splits["train"], fraction, seed)
    validation = fer2013.share(splits["validation"], fraction, seed)
    batch_size = min(schedule.batch_size, len(faces))
    steps = len(faces) // batch_size
    weight = weights_of(faces.labels) if stage.balanced else None
    grey = course.preprocessing == FACE_TENSOR
    whole = FaceInput(course.preprocessing, stage.judged_size if grey else stage.size)
    if stage.teacher:
        facts = {**facts, "teacher_sha256": find("face", stage.teacher).sha256}
    answers = None
    if teacher:
        network = build()
        network.load_weights(teacher)
        answers = probabilities(predicted_logits(network, faces.images, whole))
    targets = targets_of(faces, stage, answers)

    def epoch_batches(epoch: int) -> Batches:
        order = np.random.default_rng([schedule.seed, epoch]).permutation(len(faces))
        size = stage.small_size if epoch < schedule.epochs * stage.small_share else stage.size

        def make(index: int) -> tuple[np.ndarray, ...]:
            rows = order[index * batch_size : (index + 1) * batch_size]
            rng = np.random.default_rng([schedule.seed, epoch, index])
            drawn = [rand_augmented(face, stage.operations, rng) for face in faces.images[rows]]
            x = augmented_faces(
                np.stack(drawn), size, stage.augmentation, rng, course.preprocessing
            )
            y = targets[rows]
            if stage.mixup:
                x, y = mixed_up(x, y, stage.mixup, rng)
            if stage.cutmix:
                x, y = cut_and_mixed(x, y, stage.cutmix, rng)
            return (x, y) if weight is None else (x, y, weight[rows])

        return Batches(steps, make, course.workers)

    def validation_score(model: keras.Model) -> dict[str, float]:
        logits = predicted_logits(model, validation.images, whole)
        chosen = probabilities(logits)[np.arange(len(validation)), validation.labels]
        accuracy = float(np.mean(logits.argmax(axis=1) == validation.labels))
        loss = -float(np.log(chosen + 1e-12).mean())
        return {"accuracy": accuracy, "loss": loss, "score": accuracy}

    recipe = {
        "examples": len(faces),
        "data_sha256": faces.sha256,
        **checks.amiss(faces.labels, faces.left_out),
        "stage": {**asdict(stage), "schedule": None},
        **facts,
    }
    helped = course.pointwise and not has_accelerator()
    return fit(
        (lambda: as_matrix_products(build())) if helped else build,
        schedule,
        steps,
        epoch_batches,
        validation_score,
        run,
        start=start,
        recipe=recipe,
        teachers=[teacher] if teacher else (),
    )


def targets_of(
    faces: fer2013.Faces, stage: Stage, answers: NDArray[np.floating] | None = None
) -> NDArray[np.float32]:
    """What the network is to answer, (n, 7): labels, softened as the stage asks for.

    Parameters
    ----------
    answers : probabilities (n, 7) that make half of each target, if the network has a teacher of
        its own.
    """
    targets = one_hot(faces.labels, len(EMOTIONS))
    if stage.shared_labels:
        _, group = np.unique(faces.digests, return_inverse=True)
        sums = np.zeros((group.max() + 1, len(EMOTIONS)), np.float32)
        np.add.at(sums, group, targets)
        targets = (sums / sums.sum(axis=1, keepdims=True))[group]
    if stage.teacher:
        model = Model(find("face", stage.teacher))
        parts = [
            classify(faces.images[start : start + 128], model)[0]
            for start in range(0, len(faces), 128)
        ]
        answers = probabilities(np.concatenate(parts) / model.info.temperature)
    if answers is not None:
        targets = ((targets + answers) / 2).astype(np.float32)
    return targets


def weights_of(labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """How much each example counts, (n,), 1 in the mean: rare emotions more."""
    count = np.bincount(labels, minlength=len(EMOTIONS))
    weight = 1 / np.sqrt(count[labels])
    return (weight / weight.mean()).astype(np.float32)
