"""What each idea is worth: short runs that differ from a first one in that idea alone.

They are much shorter than the run that ships, and faces are smaller, so that many of them take an
hour on two cores. What helps a network that learns for long and overfits (mixing, blanking,
averaging) is worth more there than here; `--epochs` makes them longer. All is judged on validation
data: the test data are for the models that ship.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from core.face.tensor import FaceInput
from core.labels import EMOTIONS
from core.measures import mcnemar
from core.models import probabilities
from training import checks, face, fer2013, voice, voices
from training.architectures import ARCHITECTURES
from training.augment_face import GENTLE, STRONG
from training.files import DataSetError
from training.filling import FOLDER, pretrained
from training.learning_curve import FACE_SIZE
from training.loop import Schedule, one_hot
from training.measures import recalls, rounded
from training.recipes import RECIPES
from training.views import VIEW, WINDOWS

EPOCHS = {"face": 4, "voice": 8}
BASE = "as it is"
MCNEMAR = "McNemar's exact test that both err equally often"
ROUNDS = 2000
SWAPPING = "both runs' answers to each clip being swapped at random, 2,000 times"
"""A test of the recall itself, as McNemar's is of accuracy."""


@dataclass(frozen=True)
class Lever:
    """One idea: what it changes in the short run."""

    name: str
    stage: dict[str, Any] = field(default_factory=dict)
    """Fields of the stage."""
    schedule: dict[str, Any] = field(default_factory=dict)
    """Fields of its schedule."""
    network: dict[str, Any] = field(default_factory=dict)
    """Arguments of the network's builder."""
    longer: float = 1.0
    """Times the epochs."""
    mirrored: bool = True
    """Whether faces are judged together with their mirror images."""
    by_size: bool = False
    """Whether corpora of voices are drawn as often as they have clips, not by `CORPUS_SHARE`."""
    view: str = VIEW
    """What a voice network sees of `training.views`."""
    pretraining: float = 0.0
    """For how many times the epochs a voice network first learns without labels
    (`training.filling`)."""


FACE_BASE = face.Stage(
    Schedule(epochs=EPOCHS["face"], warmup_epochs=1.0),
    FACE_SIZE,
    GENTLE,
    judged_size=FACE_SIZE,
)
"""With the weight decay of an earlier recipe, so that all that was tried has one base."""
FACE_LEVERS = (
    Lever(BASE),
    Lever("twice as long", longer=2),
    Lever("faces of 40 px", {"size": 40, "judged_size": 40}),
    Lever("half as wide again", network={"widths": (72, 144, 288)}),
    Lever("three blocks a stage instead of two", network={"blocks": (3, 3, 3)}),
    Lever("without squeeze-and-excitation", network={"excite": False}),
    Lever("without dropout", network={"dropout": 0.0}),
    Lever("stronger augmentation", {"augmentation": STRONG}),
    Lever("RandAugment, two operations of 13 on each face", {"operations": 2}),
    Lever("mixup of 30%", {"mixup": 0.3}),
    Lever("CutMix of 30%", {"cutmix": 0.3}),
    Lever("weights averaged by 0.99 a step", schedule={"averaging": 0.99}),
    Lever("weight decay of 0.005, as in the model that ships", schedule={"weight_decay": 5e-3}),
    Lever(
        "sharpness-aware, radius 0.1, in float32",
        schedule={"sharpness": 0.1, "dtype_policy": "float32"},
    ),
    Lever("without label smoothing", schedule={"label_smoothing": 0.0}),
    Lever("rare emotions count more", {"balanced": True}),
    Lever("pictures that occur twice share their labels", {"shared_labels": True}),
    Lever("half of the target from face-cnn", {"teacher": "face-cnn"}),
    Lever(
        "AdamW instead of SGD",
        schedule={"optimiser": "adamw", "learning_rate": 2e-3, "weight_decay": 0.05},
    ),
    Lever("judged without the mirror image", mirrored=False),
)

VOICE_BASE = replace(
    voice.STAGES[0],
    schedule=replace(voice.STAGES[0].schedule, epochs=EPOCHS["voice"], decay_epochs=None),
)
VOICE_LEVERS = (
    Lever(BASE),
    Lever("half as long again", longer=1.5),
    Lever("twice as long", longer=2),
    Lever("half as wide again", network={"widths": (48, 96, 192)}),
    Lever("three blocks a stage instead of two", network={"blocks": (3, 3, 3)}),
    Lever("half of the target from voice-cnn", {"taught": 0.5}),
    Lever("one head of attention instead of four", network={"heads": 1}),
    Lever("each step sees 2.4 s instead of 3.5", network={"dilations": (1, 2)}),
    Lever("excerpts of up to 4.8 s instead of 3.2", {"extra_seconds": 1.6}),
    Lever("without pitch and loudness beside the spectrogram", network={"prosody": 0}, view="mel"),
    Lever("pitch and loudness changed at random", {"prosody_change": 1.0}),
    Lever(
        "also windows of 16 and 128 ms beside those of 40",
        network={"windows": len(WINDOWS)},
        view="windows",
    ),
    Lever("first fills in what is blanked, for half as many epochs", pretraining=0.5),
    Lever("without dropout", {"dropout": 0.0}),
    Lever("dropout of 0.3", {"dropout": 0.3}),
    Lever("batches of 64", schedule={"batch_size": 64, "averaging": 0.998}),
    Lever("without an easy start", {"easy": 0.0}),
    Lever("half of the batches cut to a random length", {"short": 0.5}),
    Lever("without augmented copies", {"copies": False}),
    Lever("without SpecAugment", {"masking": 0.0}),
    Lever("without mixup", {"mixup": 0.0}),
    Lever("without other corpora's sound", {"sound_swap": 0.0}),
    Lever("weights not averaged", schedule={"averaging": 0.0}),
    Lever("without label smoothing", schedule={"label_smoothing": 0.0}),
    Lever("corpora drawn as often as they have clips", by_size=True),
)


@dataclass(frozen=True)
class Ran:
    """A short run's answers on validation data, what they are worth, and what it cost."""

    labels: NDArray[np.int64]
    answers: NDArray[np.int64]
    corpora: NDArray[np.str_]
    """Of each clip; empty for faces."""
    score: float
    seconds: float
    parameters: int

    @property
    def right(self) -> NDArray[np.bool_]:
        return self.answers == self.labels


def levers(
    name: str,
    data: Path,
    run: Path,
    only: Sequence[str] = (),
    epochs: int | None = None,
    fraction: float = 1.0,
) -> dict[str, Any]:
    """One of the series that `levers.json` holds: what was tried in one go, beside its own base.

    Parameters
    ----------
    run : folder of checkpoints, one below it for each idea; what is there already goes on.
    only : the ideas to try; all by default.
    epochs : of the first run, instead of `EPOCHS`.
    fraction : share of the training data; of voices, of the validation data too.

    Returns
    -------
    `base` and `tried`: of each run `name`, `score` (accuracy for faces, mean of RAVDESS's and
    CREMA-D's unweighted average recall for voices), `seconds` of training, as if all epochs but
    those of an easy start were as fast as the fastest, and `parameters`; of those tried also `gain`
    over the base, and `p` by `test`, a sentence. `n` validation examples, `settings`.

    Raises
    ------
    DataSetError
        When there are no ideas for the model, or none of that name.
    """
    if name not in LEVERS:
        raise DataSetError(f"No ideas are listed for {name!r}, only for {', '.join(LEVERS)}.")
    known, prepared = LEVERS[name]
    if unknown := set(only) - {lever.name for lever in known}:
        names = ", ".join(repr(lever.name) for lever in known[1:])
        raise DataSetError(f"There is no idea {sorted(unknown)[0]!r}; there are {names}.")
    whole = epochs or EPOCHS[RECIPES[name].task]
    ran = prepared(data, run, fraction)
    base = ran(known[0], whole)
    tried = []
    for number, lever in enumerate(known[1:], 1):
        if only and lever.name not in only:
            continue
        print(f"{number} of {len(known) - 1}: {lever.name}", flush=True)
        found = ran(lever, whole)
        tried.append({**_row(lever, found), "gain": rounded(found.score - base.score),
                      "p": round(_p(base, found), 4)})  # fmt: skip
        print(f"{100 * tried[-1]['gain']:+.1f} points, p {tried[-1]['p']:.3f}", flush=True)
    return {
        "base": _row(known[0], base),
        "tried": tried,
        "n": len(base.labels),
        "measure": "accuracy" if RECIPES[name].task == "face" else "unweighted average recall",
        "test": MCNEMAR if RECIPES[name].task == "face" else SWAPPING,
        "settings": _settings(name, whole, fraction),
        "command": _command(name, only, epochs, fraction),
        "date": datetime.now(UTC).date().isoformat(),
    }


def with_earlier(earlier: dict[str, Any], newest: dict[str, Any]) -> dict[str, Any]:
    """What `levers.json` holds: all that was tried, in `series`; of an idea that was tried twice in
    the same settings, on as many examples, the newest.

    Beside it stand the `whole_runs` (`core.reports.WholeRun`), written by whoever made them.

    Parameters
    ----------
    earlier : what it holds so far; {} for nothing. newest : of `levers`.
    """
    again = {row["name"] for row in newest["tried"]}

    def alike(one: dict[str, Any]) -> bool:
        return all(one.get(what) == newest.get(what) for what in ("n", "settings"))

    earlier_series = [
        {**one, "tried": [row for row in one["tried"] if not (row["name"] in again and alike(one))]}
        for one in earlier.get("series", [])
    ]
    return {**earlier, "series": [*(one for one in earlier_series if one["tried"]), newest]}


def _p(base: Ran, found: Ran) -> float:
    """How likely as large a difference is by chance: `MCNEMAR` of faces, `SWAPPING` of voices."""
    if not len(base.corpora):
        return mcnemar(base.right, found.right)
    rng = np.random.default_rng(7)
    both = np.stack([base.answers, found.answers])
    rows = np.arange(len(base.labels))
    gain = abs(found.score - base.score)
    as_large = 0
    for _ in range(ROUNDS):
        swapped = rng.integers(0, 2, len(rows))
        one, other = (
            mean_recall(base.labels, both[drawn, rows], base.corpora)
            for drawn in (swapped, 1 - swapped)
        )
        as_large += abs(one - other) >= gain - 1e-12
    return (1 + as_large) / (1 + ROUNDS)


def mean_recall(
    labels: NDArray[np.int64], answers: NDArray[np.int64], corpora: NDArray[np.str_]
) -> float:
    """Mean over RAVDESS and CREMA-D, as far as they are there, of unweighted average recall."""
    return voices.score(recalls(labels, answers, corpora, voices.SEVERAL_SPEAKERS))


def _row(lever: Lever, found: Ran) -> dict[str, Any]:
    return {
        "name": lever.name,
        "score": rounded(found.score),
        "seconds": round(found.seconds),
        "parameters": found.parameters,
    }


def _settings(name: str, epochs: int, fraction: float) -> str:
    faces = RECIPES[name].task == "face"
    cut = "training data" if faces else "training and validation data"
    share = "" if fraction >= 1 else f" on {fraction:.0%} of the {cut}"
    if faces:
        return (
            f"{epochs} epochs{share}, one stage, gently augmented, faces of {FACE_SIZE} px in "
            "training and judging; accuracy on PublicTest"
        )
    return (
        f"{epochs} epochs{share} of the narrow network's first stage, nothing filled in first but "
        "where it is said; unweighted average recall, mean of RAVDESS's and CREMA-D's validation "
        "speakers"
    )


def _command(name: str, only: Sequence[str], epochs: int | None, fraction: float) -> str:
    words = [f"python -m training levers {name} --data PATH"]
    if only:
        words.append("--only " + " ".join(f'"{lever}"' for lever in only))
    if epochs:
        words.append(f"--epochs {epochs}")
    if fraction < 1:
        words.append(f"--fraction {fraction:g}")
    return " ".join(words)


def _stage(base: Any, lever: Lever, epochs: int) -> Any:
    schedule = replace(base.schedule, epochs=round(epochs * lever.longer), **lever.schedule)
    return replace(base, schedule=schedule, **lever.stage)


def _folder(run: Path, lever: Lever) -> Path:
    return run / "-".join("".join(c if c.isalnum() else " " for c in lever.name.lower()).split())


def _seconds(folder: Path, easy: int = 0) -> float:
    """Of a run with all its epochs as fast as the fastest: what else ran then does not count.

    Its first `easy` epochs are shorter ones and count as they were.
    """
    history = json.loads((folder / "state.json").read_text())["history"]
    seconds = [float(epoch["seconds"]) for epoch in history]
    whole = seconds[easy:] or seconds
    return sum(seconds[: len(seconds) - len(whole)]) + len(whole) * min(whole)


Runner = Callable[[Lever, int], Ran]
"""(idea, epochs of the base) -> its short run, trained and judged."""


def _faces(data: Path, run: Path, fraction: float) -> Runner:
    splits = fer2013.training_splits(data)
    for name, faces in splits.items():
        checks.told(faces.labels, faces.left_out, f"FER2013's {name}")
    validation = splits["validation"]

    def ran(lever: Lever, epochs: int) -> Ran:
        stage = _stage(FACE_BASE, lever, epochs)
        build = partial(ARCHITECTURES["face-cnn"], **lever.network)
        # Judged in another way, it is the base's own network.
        folder = _folder(run, lever if lever.mirrored else FACE_LEVERS[0])
        weights = face.train_stage(
            build, splits, folder, face.COMPACT, stage, fraction, None, {"network": lever.network}
        )
        network = build()
        network.load_weights(weights)
        prepared = FaceInput(face.COMPACT.preprocessing, stage.judged_size)
        if lever.mirrored:
            logits = face.predicted_logits(network, validation.images, prepared)
        else:
            logits = network.predict(prepared(validation.images), verbose=0)["logits"]
        answers = logits.argmax(axis=1)
        right = answers == validation.labels
        nowhere = np.array([], np.str_)
        seconds, size = _seconds(folder), network.count_params()
        return Ran(validation.labels, answers, nowhere, float(right.mean()), seconds, size)

    return ran


def _voices(data: Path, run: Path, fraction: float) -> Runner:
    seed = voice.SEED
    everything = voices.load(data, run.parent / "cache", voice.VARIANTS, seed)
    everything = voice.share_of(everything, fraction)
    for split in ("train", "validation"):
        checks.told(everything.of(split).labels, (), f"The voices' {split}")
    if not any(
        clip.corpus in voices.SEVERAL_SPEAKERS for clip in everything.of("validation").clips
    ):
        raise DataSetError("Ideas are judged on RAVDESS and CREMA-D, and neither is there.")
    shared = set(everything.clips)

    def ran(lever: Lever, epochs: int) -> Ran:
        stage = _stage(VOICE_BASE, lever, epochs)
        build: Callable[[], keras.Model] = partial(ARCHITECTURES["voice-cnn"], **lever.network)
        folder = _folder(run, lever)
        network, start, before = build(), None, 0.0
        seen = everything
        if lever.view != VIEW:
            cache = run.parent / "cache"
            seen = voices.load(data, cache, voice.VARIANTS, seed, view=lever.view, only=shared)
        if lever.pretraining:
            place = folder / FOLDER
            first = stage.schedule.lasting(math.ceil(epochs * lever.pretraining))
            start = pretrained(build, seen, place, first, stage.dropout, voice.MAX_FRAMES)
            before = _seconds(place)
        sizes: Mapping[str, float] = Counter(clip.corpus for clip in seen.of("train").clips)
        share = sizes if lever.by_size else voice.CORPUS_SHARE
        taught = _taught(data, run, seen) if stage.taught else None
        network.load_weights(
            voice.train_stage(build, seen, folder, stage, start, share, taught=taught)
        )
        validation = seen.of("validation")
        labels = validation.labels
        corpora = np.array([clip.corpus for clip in validation.clips])
        answers = voice.predicted_logits(network, validation).argmax(axis=1)
        score = mean_recall(labels, answers, corpora)
        easy = math.ceil(stage.easy_share * stage.schedule.epochs)
        seconds = before + _seconds(folder, easy)
        return Ran(labels, answers, corpora, score, seconds, network.count_params())

    return ran


def _taught(data: Path, run: Path, seen: voices.Voices) -> voice.Taught:
    """By the model that ships, and by nobody of clips in which it hears no speech."""
    pool = seen.of("train")
    clips = pool.where(voice.originals(pool))
    shipped = voice.shipped_answers(data, clips.clips, run / "teacher")
    if shipped is None:
        raise DataSetError(f"{voice.TEACHER} is not installed, so it cannot teach.")
    truth = one_hot(clips.labels, len(EMOTIONS))
    answered = {clip: probabilities(logits) for clip, logits in shipped.logits.items()}
    targets = {c: answered.get(c, truth[i]) for i, c in enumerate(clips.clips)}
    return voice.Taught(targets, (), shipped.sha256)


LEVERS: dict[str, tuple[tuple[Lever, ...], Callable[[Path, Path, float], Runner]]] = {
    "face-cnn": (FACE_LEVERS, _faces),
    "voice-cnn": (VOICE_LEVERS, _voices),
}
