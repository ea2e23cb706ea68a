"""How `voice-cnn1d` is trained: the paper's network on its stacked descriptors.

On the same speakers as `voice-cnn`, and a second time in the way of many notebooks: augmented
copies are made first and examples are split at random then, so that copies of one clip, and
voices of one speaker, lie on both sides. What that is worth shows in `random_split.json`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from core.errors import DuetError
from core.labels import EMOTIONS
from core.media import decode_audio
from core.models import probabilities
from core.voice import descriptors
from core.voice.change import Samples, add_noise, change_pitch_and_tempo, shift_in_time
from core.voice.descriptors import DESCRIPTORS, descriptor_windows
from training import checks, voices
from training.files import DataSetError
from training.loop import Batches, Schedule, fit, one_hot
from training.measures import recalls, rounded, summary

SCHEDULE = Schedule(
    epochs=50,
    optimiser="adam",
    batch_size=64,
    learning_rate=1e-3,
    weight_decay=0.0,
    label_smoothing=0.0,
    patience=2,
)

COPIES = 2
"""Augmented copies of each clip, besides the clip itself."""

CHUNK = 16
"""Clips that a helper takes at once."""

TEST_SHARE = 0.2
"""Of the examples, where they are split at random."""


@dataclass(frozen=True)
class Examples:
    """Descriptors with labels: `x` (n, DESCRIPTORS), `y` (n,), the clip that each comes from."""

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    clips: tuple[voices.Clip, ...]
    copied: NDArray[np.bool_]
    """Whether it is an augmented copy."""
    left_out: tuple[voices.Clip, ...] = ()
    """Those that could not be heard, of any split."""

    def __len__(self) -> int:
        return len(self.y)

    @property
    def sha256(self) -> str:
        """What tells these examples from others: of which clips they are, and which are copies."""
        return voices.told_apart(zip(self.clips, self.copied.astype(int).tolist(), strict=True))

    def where(self, mask: NDArray[np.bool_]) -> Examples:
        rows = np.flatnonzero(mask)
        chosen = tuple(self.clips[i] for i in rows)
        return Examples(self.x[rows], self.y[rows], chosen, self.copied[rows], self.left_out)

    def of(self, split: str) -> Examples:
        """Those of a split of speakers: copies of training clips only."""
        inside = np.array([clip.split == split for clip in self.clips], bool)
        return self.where(inside if split == "train" else inside & ~self.copied)


def changed(samples: Samples, rng: np.random.Generator) -> Samples:
    """One of the paper's four augmentations, drawn at random."""
    kind = rng.integers(4)
    if kind == 0:
        return add_noise(samples, rng.uniform(10, 30), 0.0, rng)
    if kind == 1:
        return change_pitch_and_tempo(samples, 1.0, rng.uniform(0.8, 1.2))
    if kind == 2:
        return change_pitch_and_tempo(samples, 2 ** (rng.uniform(-2, 2) / 12), 1.0)
    return shift_in_time(samples, rng.uniform(-0.25, 0.25))


def load(data: Path, cache: Path, seed: int = SCHEDULE.seed) -> Examples:
    """The first window of every clip and of its copies, computed once in parallel and kept.

    A clip that cannot be decoded is left out, named and counted on standard output, also where the
    cache holds all others. The cache is known by the clips and the constants of
    `core.voice.descriptors`.
    """
    listed = voices.clips(data)
    constants = {k: v for k, v in vars(descriptors).items() if k.isupper()}
    known_by = (listed, seed, COPIES, constants)
    key = sha256(repr(known_by).encode()).hexdigest()[:16]
    path = cache / f"descriptors-{key}.npy"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npy")
        np.save(part, np.stack(list(computed(data, listed, seed)), axis=1))
        part.replace(path)
    x = np.load(path).reshape(-1, DESCRIPTORS)
    usable = np.isfinite(x).all(axis=1)
    left_out = voices.tell_left_out(listed, usable[: len(listed)])
    copied = np.arange(len(x)) >= len(listed)
    examples = Examples(x, np.array([c.label for c in listed] * (1 + COPIES)),
                        tuple(listed * (1 + COPIES)), copied, left_out)  # fmt: skip
    return examples.where(usable)


def computed(data: Path, clips: list[voices.Clip], seed: int) -> Iterator[NDArray[np.float32]]:
    """Of each clip, in order: (1 + COPIES, DESCRIPTORS), `first_windows`."""
    with voices.helpers(data) as pool:
        for done, rows in enumerate(pool.map(partial(of_clip, seed), clips, chunksize=CHUNK), 1):
            if done % 2000 == 0 or done == len(clips):
                print(f"descriptors: {done} of {len(clips)} clips", flush=True)
            yield rows


def of_clip(seed: int, clip: voices.Clip) -> NDArray[np.float32]:
    """`first_windows`; not a number where the clip cannot be used, which is said."""
    try:
        return first_windows(voices.content(clip), clip.path, seed)
    except (DuetError, DataSetError) as error:
        print(f"left out {clip.corpus} {clip.path}: {error}", flush=True)
        return np.full((1 + COPIES, DESCRIPTORS), np.nan, np.float32)


def first_windows(content: bytes, path: str, seed: int = SCHEDULE.seed) -> NDArray[np.float32]:
    """(1 + COPIES, DESCRIPTORS) of a clip's and its augmented copies' first windows.

    It is decoded once for all of them.

    Parameters
    ----------
    content : of the clip's file. path : inside its corpus; with `seed` it decides on the copies.

    Raises
    ------
    DuetError
        When the clip does not decode.
    """
    samples = decode_audio(content, path).samples
    digest = int.from_bytes(sha256(path.encode()).digest()[:4])
    copies = (changed(samples, np.random.default_rng([seed, i, digest])) for i in range(COPIES))
    return np.stack([descriptor_windows(one, most=1)[0][0, :, 0] for one in (samples, *copies)])


def train(
    build: Callable[[], keras.Model],
    data: Path,
    run: Path,
    epochs: int | None = None,
    fraction: float = 1.0,
) -> Path:
    """Train on the training speakers, choose on the validation speakers."""
    examples = _share(load(data, run.parent / "cache"), fraction)
    for split in ("train", "validation"):
        checks.told(examples.of(split).y, (), f"The voices' {split}")
    validation = examples.of("validation")
    corpora = np.array([clip.corpus for clip in validation.clips])

    def score(answers: NDArray[np.int64]) -> dict[str, float]:
        found = recalls(validation.y, answers, corpora, voices.CORPORA)
        return {
            **{f"uar_{corpus}": recall for corpus, recall in found.items()},
            "score": voices.score(found),
        }

    schedule = SCHEDULE.lasting(epochs)
    return _fitted(build, examples.of("train"), validation, score, run / "stage1", schedule)


def random_split(
    build: Callable[[], keras.Model],
    data: Path,
    run: Path,
    epochs: int | None = None,
    fraction: float = 1.0,
) -> dict[str, Any]:
    """Train and judge in the way that leaks: copies first, then a random split of the examples.

    The same network, schedule and number of examples an epoch as in `train`, and, as is usual
    there, chosen on the examples that it is judged on. `plateau` says whether one ended the
    training; where the number of `epochs` did, it claims less than it could.
    """
    examples = _share(load(data, run.parent / "cache"), fraction)
    rng = np.random.default_rng(SCHEDULE.seed)
    held_out = rng.random(len(examples)) < TEST_SHARE
    test, pool = examples.where(held_out), examples.where(~held_out)
    for part, called in ((pool, "train"), (test, "test")):
        checks.told(part.y, (), f"The random split's {called}")

    def score(answers: NDArray[np.int64]) -> dict[str, float]:
        return {"score": float(np.mean(answers == test.y))}

    schedule = SCHEDULE.lasting(epochs)
    per_epoch = _per_epoch(examples.of("train"), schedule)
    stage = run / "stage1"
    best = _fitted(build, pool, test, score, stage, schedule, per_epoch)
    network = _scaled(build, pool)
    network.load_weights(best)
    measured = summary(probabilities(_logits(network, test.x)), test.y)
    kept = ("n", "accuracy", "accuracy_95", "unweighted_average_recall")
    trained = len(json.loads((stage / "state.json").read_text())["history"])
    return {
        **{name: measured[name] for name in (*kept, "unweighted_average_recall_95")},
        "speaker_in_training": _shared(test, pool, lambda clip: (clip.corpus, clip.speaker)),
        "clip_in_training": _shared(test, pool, lambda clip: (clip.corpus, clip.path)),
        "copies": COPIES,
        "examples_an_epoch": per_epoch,
        "epochs": trained,
        "plateau": trained < schedule.epochs,
    }


def _shared(test: Examples, pool: Examples, key: Callable[[voices.Clip], tuple[str, str]]) -> float:
    """Share of the test examples whose key is in the training data too."""
    known = {key(clip) for clip in pool.clips}
    return rounded(np.mean([key(clip) in known for clip in test.clips]))


def _share(examples: Examples, fraction: float) -> Examples:
    if fraction >= 1:
        return examples
    rng = np.random.default_rng(SCHEDULE.seed)
    return examples.where(rng.random(len(examples)) < fraction)


def _per_epoch(pool: Examples, schedule: Schedule) -> int:
    """Examples an epoch: as many as there are clips, drawn anew from them and their copies."""
    return max(min(schedule.batch_size, len(pool)), len(pool) // (1 + COPIES))


def _scaled(build: Callable[[], keras.Model], pool: Examples) -> keras.Model:
    """The network, its input scaled by mean and variance of the training examples."""
    network = build()
    scale = network.get_layer("scale")
    rows = np.random.default_rng(0).permutation(len(pool))[:8192]
    scale.adapt(pool.x[rows, :, np.newaxis])
    return network


def _logits(network: keras.Model, x: NDArray[np.float32]) -> NDArray[np.float32]:
    parts = [
        network.predict_on_batch(x[start : start + 256, :, np.newaxis])["logits"]
        for start in range(0, len(x), 256)
    ]
    return np.concatenate(parts)


def _fitted(
    build: Callable[[], keras.Model],
    pool: Examples,
    validation: Examples,
    score: Callable[[NDArray[np.int64]], dict[str, float]],
    run: Path,
    schedule: Schedule,
    per_epoch: int | None = None,
) -> Path:
    per_epoch = per_epoch or _per_epoch(pool, schedule)
    batch_size = min(schedule.batch_size, per_epoch)
    steps = per_epoch // batch_size
    targets = one_hot(pool.y, len(EMOTIONS))

    def epoch_batches(epoch: int) -> Batches:
        order = np.random.default_rng([schedule.seed, epoch]).permutation(len(pool))

        def make(index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            rows = order[index * batch_size : (index + 1) * batch_size]
            return pool.x[rows, :, np.newaxis], targets[rows]

        return Batches(steps, make)

    return fit(
        lambda: _scaled(build, pool),
        schedule,
        steps,
        epoch_batches,
        lambda network: score(_logits(network, validation.x).argmax(axis=1)),
        run,
        recipe={
            "examples": steps * batch_size,
            "data_sha256": pool.sha256,
            **checks.amiss(pool.y, voices.not_learnt(pool.left_out)),
            "copies": COPIES,
        },
    )
