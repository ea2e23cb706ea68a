"""How `voice-cnn` is trained: four corpora together, drawn so that no corpus tells the emotion.

What it came to on validation speakers, beside the model that shipped before (narrow and wide, by
this recipe with other seeds): accuracy 65.0% instead of 64.0%, log loss 0.918 instead of 0.924,
beside a face 0.536 instead of 0.545. What other changes came to, `levers.json` tells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import keras
import numpy as np
from numpy.typing import NDArray

from core.labels import EMOTIONS
from core.models import Model, installed, probabilities
from core.voice.features import FRAMES_PER_SECOND, padded, spectrogram_columns
from core.voice.tensor import FRAMES_PER_STEP
from training import checks, filling, voices
from training.architectures import arguments_of
from training.augment_voice import random_prosody, random_spectrogram
from training.evaluate import clip_answers
from training.files import DataSetError
from training.filling import pretrained
from training.loop import Batches, Schedule, fit, one_hot
from training.measures import recalls
from training.mixing import mixed_up


@dataclass(frozen=True)
class Stage:
    """A stretch of training: how long, and how strongly augmented."""

    schedule: Schedule
    masking: float
    """Times the usual width of what SpecAugment blanks."""
    mixup: float
    """Share of the clips that are mixed with another."""
    sound_swap: float = 0.5
    """Share of the clips that get another corpus's mean spectrum."""
    copies: bool = True
    """Whether clips are also drawn as their augmented copies."""
    easy: float = 0.0
    """Share of the epochs over which excerpts, blanking and mixing grow to their whole: a network
    gets going sooner on what is short and plain, and what is short costs less."""
    dropout: float = 0.3
    short: float = 0.0
    """Share of the batches whose excerpts are cut to a random length, `SHORTEST_FRAMES` at least:
    somebody who speaks live is to be understood by the first words. At the end of training: in a
    short first stage it cost 4 points (`python -m training levers voice-cnn`)."""
    extra_seconds: float = 0.0
    """By which excerpts may be longer than `MAX_FRAMES`."""
    prosody_change: float = 0.0
    """How strongly pitch and loudness are changed (`random_prosody`)."""
    taught: float = 0.0
    """Share of each clip's target that is what teachers answer about it (Hinton et al. 2015,
    "Distilling the Knowledge in a Neural Network"). What an actor was to express is not always to
    be heard in a clip, and such clips would otherwise be learnt by heart."""

    @property
    def easy_share(self) -> float:
        """`easy`, or 0 in a stage of one epoch or two: there would be little else."""
        return self.easy if self.schedule.epochs > 2 else 0.0

    def hardness(self, epoch: int) -> float:
        """How far excerpts, blanking and mixing have grown in an epoch, numbered from 0; 0 to 1."""
        rising = self.easy_share * self.schedule.epochs
        return min(1.0, epoch / rising) if rising else 1.0


STAGES = (
    Stage(
        Schedule(
            epochs=20,
            decay_epochs=24,
            optimiser="adamw",
            batch_size=32,
            learning_rate=1.5e-3,
            warmup_epochs=1.0,
            weight_decay=0.04,
            label_smoothing=0.05,
            averaging=0.999,
        ),
        masking=0.8,
        mixup=0.2,
        easy=0.4,
        dropout=0.15,
    ),
    Stage(
        Schedule(
            epochs=13,
            optimiser="adamw",
            batch_size=32,
            learning_rate=6e-4,
            warmup_epochs=0.5,
            weight_decay=0.04,
            label_smoothing=0.05,
            averaging=0.999,
        ),
        masking=0.5,
        mixup=0.1,
        dropout=0.15,
        short=0.5,
    ),
)
"""The second stage ends nearer to the clips that the network will be given. How long each network's
stages really are, `NETWORKS` tell."""

ROUND_TWO = Stage(
    Schedule(
        epochs=40,
        optimiser="adamw",
        batch_size=32,
        learning_rate=1e-3,
        warmup_epochs=1.0,
        weight_decay=0.04,
        label_smoothing=0.05,
        averaging=0.999,
    ),
    masking=0.8,
    mixup=0.25,
    dropout=0.25,
    short=0.5,
    prosody_change=1.0,
    taught=0.5,
)
"""Once all `MEMBERS` have been through both `STAGES`, each goes on from there, taught by what they
answer together, and with more of what keeps it from learning the actors by heart. In an earlier
training (without filling in, 2.4 s of sight), on validation speakers: accuracy 62.8% before 32 and
17 epochs of it and 64.3% after (McNemar's p 0.14), log loss 0.999 and 0.954. How much of that the
teachers bring, and how much the epochs, was not measured."""


@dataclass(frozen=True)
class Member:
    """A network of the recipe."""

    name: str
    widths: tuple[int, ...]
    seed: int
    filling: int
    """Epochs of filling in what is blanked, before there are labels (`training.filling`)."""
    epochs: tuple[int, ...]
    """Of each stage of its `plan`."""
    blocks: tuple[int, ...] = (2, 2, 2)
    """Of each width."""
    plan: tuple[Stage, ...] = (*STAGES, ROUND_TWO)

    def built(self, build: Callable[..., keras.Model]) -> Callable[..., keras.Model]:
        """The builder of all networks, for this one."""
        return partial(build, widths=self.widths, blocks=self.blocks)

    def filling_schedule(self, epochs: int | None = None) -> Schedule:
        """Of filling in what is blanked, for `epochs` if given."""
        return self.stages()[0].schedule.lasting(epochs or self.filling)

    def stages(self, epochs: int | None = None) -> tuple[Stage, ...]:
        """Those of its plan as long as they are to be, with `epochs` each if given.

        The first breaks off before its learning rate is down to zero.
        """
        first, *others = (
            replace(stage, schedule=replace(stage.schedule, seed=self.seed + number, epochs=count))
            for number, (stage, count) in enumerate(zip(self.plan, self.epochs, strict=True))
        )
        broken_off = replace(first.schedule, decay_epochs=round(1.2 * self.epochs[0]))
        stages = (replace(first, schedule=broken_off), *others)
        if epochs:
            return tuple(
                replace(stage, schedule=stage.schedule.lasting(epochs)) for stage in stages
            )
        return stages


MEMBERS = (
    Member("narrow", (32, 64, 128), seed=27, filling=14, epochs=(16, 12, 44)),
    Member("wide", (48, 96, 192), seed=37, filling=8, epochs=(10, 9, 24)),
)
"""They teach one another and the `STUDENT` by the mean of their logits. They see other draws of the
clips in another order and err in other places. That both together are better than the narrow one
alone was not sure in the trainings before (log loss on validation speakers 0.953 and 0.954, 0.966
and 0.959). Their seeds were 7 and 17 in the generation that taught this one."""

STUDENT = Member(
    "deep",
    (32, 64, 128),
    seed=47,
    filling=12,
    epochs=(18, 50),
    blocks=(3, 3, 3),
    plan=(replace(STAGES[0], taught=ROUND_TWO.taught), ROUND_TWO),
)
"""Taught from its first label on by what all `MEMBERS` answer together when they are done. In short
trainings (`python -m training levers voice-cnn`) three blocks a stage brought 6.6 points and half
of each target from a teacher 5.0. In this long one little of that was left: alone it is no better
than the narrow network, whose place it was to take."""

NETWORKS = (*MEMBERS, STUDENT)
"""In the order of their training."""

ANSWERING = ("narrow", "deep")
"""Those that ship, as one that answers with the mean of their logits. On validation speakers, as
int8: accuracy 65.0% and log loss 0.918, of the deep one alone 64.1% and 0.949, of the narrow one
65.0% and 0.946, of narrow and wide 65.0% and 0.939."""

CORPUS_SHARE = {"crema_d": 0.58, "ravdess": 0.24, "savee": 0.08, "tess": 0.1}
"""How often each corpus is drawn. Within a corpus every emotion is drawn equally often."""

SEED = 7
"""Of augmented copies, and of the share of the clips that is drawn where not all count."""

VARIANTS = 3
"""Augmented copies of each training clip, besides the clip itself."""

MAX_FRAMES = round(3.2 * FRAMES_PER_SECOND)
"""How long excerpts are at most."""

EASY_FRAMES = round(1.4 * FRAMES_PER_SECOND)
"""The same in the first epoch of an easy start."""

TEACHER = "voice-cnn"
"""The installed model that teaches beside the networks themselves."""
SHIPPED = "shipped.npz"
"""What the model that ships answered about training clips, in the run's folder."""
CLIPS_AT_ONCE = 256
"""Held in memory as sound."""

SHORTEST_FRAMES = 48
"""The shortest that excerpts are cut to, 0.77 s; a multiple of 16."""


def predicted_logits(model: keras.Model, data: voices.Voices) -> NDArray[np.float32]:
    """Logits (n, 7); clips of about one length go through the network together, in whole steps."""
    logits = np.empty((len(data), len(EMOTIONS)), np.float32)
    order = np.argsort([len(s) for s in data.spectrograms], kind="stable")
    for start in range(0, len(order), 32):
        rows = order[start : start + 32]
        longest = max(len(data.spectrograms[i]) for i in rows)
        frames = longest + -longest % FRAMES_PER_STEP
        parts = [data.spectrograms[i] for i in rows]
        batch = np.stack([padded(part, frames, (frames - len(part)) // 2) for part in parts])
        logits[rows] = model.predict_on_batch(batch[..., np.newaxis])["logits"]
    return logits


def drawing_probabilities(
    clips: tuple[voices.Clip, ...], share: Mapping[str, float] = CORPUS_SHARE
) -> NDArray[np.float64]:
    """Probability of each clip to be drawn: corpora by share, emotions within them alike."""
    cells = [(clip.corpus, clip.emotion) for clip in clips]
    count = {cell: cells.count(cell) for cell in set(cells)}
    emotions = {corpus: {e for c, e in count if c == corpus} for corpus, _ in count}
    probability = np.array(
        [share[c] / len(emotions[c]) / count[c, e] for c, e in cells], np.float64
    )
    return probability / probability.sum()


def train(
    build: Callable[..., keras.Model],
    data: Path,
    run: Path,
    epochs: int | None = None,
    fraction: float = 1.0,
) -> None:
    """Train on the training speakers, choose on the validation speakers.

    Parameters
    ----------
    epochs : instead of the schedule's own. fraction : share of the clips to train on. With neither
        given the voice model that is installed teaches, too (`shipped_answers`): a short training,
        or one on few clips, is to show what that comes to by itself.
    """
    everything = voices.load(data, run.parent / "cache", VARIANTS, SEED)
    everything = share_of(everything, fraction)
    for split in ("train", "validation"):
        checks.told(everything.of(split).labels, (), f"The voices' {split}")
    pool = everything.of("train")
    whole = epochs is None and fraction >= 1
    shipped = shipped_answers(data, pool.where(originals(pool)).clips, run) if whole else None
    total = sum(1 + len(member.plan) for member in NETWORKS)
    numbers = iter(range(1, 1 + total))
    ends: dict[str, Path] = {}

    def fill_in(member: Member) -> None:
        print(f"stage {next(numbers)} of {total}", flush=True)
        ends[member.name] = pretrained(
            member.built(build),
            everything,
            run / member.name / filling.FOLDER,
            member.filling_schedule(epochs),
            member.stages(epochs)[0].dropout,
            MAX_FRAMES,
        )

    def through(member: Member, number: int, taught: Taught | None = None) -> None:
        print(f"stage {next(numbers)} of {total}", flush=True)
        ends[member.name] = train_stage(
            member.built(build),
            everything,
            run / member.name / f"stage{number}",
            member.stages(epochs)[number - 1],
            start=ends[member.name],
            taught=taught,
        )

    for member in MEMBERS:
        fill_in(member)
        through(member, 1)
        through(member, 2)
    taught = answers_together(build, ends, pool, shipped)
    for member in MEMBERS:
        through(member, 3, taught)
    taught = answers_together(build, ends, pool, shipped)
    fill_in(STUDENT)
    for number in range(1, 1 + len(STUDENT.plan)):
        through(STUDENT, number, taught)


@dataclass(frozen=True)
class Taught:
    """What teachers answer about training clips."""

    targets: Mapping[voices.Clip, NDArray[np.floating]]
    """Probabilities (7,) of each clip."""
    teachers: Sequence[Path]
    """Their weights."""
    shipped: str = ""
    """SHA-256 of the model that ships, if it is among them."""


@dataclass(frozen=True)
class ShippedAnswers:
    """What the model that ships answers about training clips."""

    logits: Mapping[voices.Clip, NDArray[np.float32]]
    """(7,), not calibrated, of each clip in which it hears speech."""
    sha256: str
    """Of the model."""


def shipped_answers(data: Path, clips: Sequence[voices.Clip], run: Path) -> ShippedAnswers | None:
    """What the voice model that ships answers about clips; None where none is installed.

    Parameters
    ----------
    run : folder where the answers are kept, also that there was no model. They count for as long
        as the run lasts, whatever ships by then.

    Raises
    ------
    DuetError
        When the model cannot be used.
    DataSetError
        When the run was begun with other clips.
    """
    place = run / SHIPPED
    names = np.array([f"{clip.corpus}/{clip.path}" for clip in clips])
    if not place.exists():
        info = next((m for m in installed()[0] if m.name == TEACHER), None)
        print(f"asking {TEACHER} about the clips" if info else f"no {TEACHER} to ask", flush=True)
        asked = _ask(Model(info), data, clips) if info else {}
        unheard = np.full(len(EMOTIONS), np.nan)
        logits = np.array([asked.get(name, unheard) for name in names.tolist()], np.float32)
        run.mkdir(parents=True, exist_ok=True)
        part = place.with_suffix(".part.npz")
        np.savez(part, names=names, logits=logits, sha256=info.sha256 if info else "")
        part.replace(place)
    with np.load(place) as stored:
        kept = dict(zip(stored["names"].tolist(), stored["logits"], strict=True))
        sha256 = str(stored["sha256"])
    if missing := set(names.tolist()) - kept.keys():
        raise DataSetError(
            f"{run} was begun without {len(missing):,} of these clips. Remove the folder to start "
            "anew."
        )
    if not sha256:
        return None
    answers = {clip: kept[name] for clip, name in zip(clips, names.tolist(), strict=True)}
    return ShippedAnswers({c: one for c, one in answers.items() if np.isfinite(one).all()}, sha256)


def _ask(model: Model, data: Path, clips: Sequence[voices.Clip]) -> dict[str, NDArray[np.float64]]:
    """Logits (7,) of each clip that can be heard, by `corpus/path`."""
    found: dict[str, NDArray[np.float64]] = {}
    for start in range(0, len(clips), CLIPS_AT_ONCE):
        answers = clip_answers(model, data, clips[start : start + CLIPS_AT_ONCE])
        found.update(zip(answers.ids.tolist(), answers.logits, strict=True))
    return found


def answers_together(
    build: Callable[..., keras.Model],
    weights: Mapping[str, Path],
    data: voices.Voices,
    shipped: ShippedAnswers | None,
) -> Taught:
    """What networks answer together about clips, by themselves and not as augmented copies.

    Parameters
    ----------
    weights : of each of `NETWORKS` that answers, by name.
    shipped : counts as much as all of them do: what learnt in another way errs in other places.
    """
    clips = data.where(originals(data))
    logits = logits_together(build, weights, clips)
    for i, clip in enumerate(clips.clips):
        if shipped and clip in shipped.logits:
            logits[i] = (logits[i] + shipped.logits[clip]) / 2
    targets = dict(zip(clips.clips, probabilities(logits), strict=True))
    return Taught(targets, list(weights.values()), shipped.sha256 if shipped else "")


def logits_together(
    build: Callable[..., keras.Model], weights: Mapping[str, Path], data: voices.Voices
) -> NDArray[np.float32]:
    """Mean logits (n, 7) of those of `NETWORKS` of whom there are weights, by name."""
    logits = np.zeros((len(data), len(EMOTIONS)), np.float32)
    for member in NETWORKS:
        if member.name in weights:
            network = member.built(build)()
            network.load_weights(weights[member.name])
            logits += predicted_logits(network, data) / len(weights)
    return logits


def train_stage(
    build: Callable[..., keras.Model],
    everything: voices.Voices,
    run: Path,
    stage: Stage,
    start: Path | None,
    share: Mapping[str, float] = CORPUS_SHARE,
    keep: Literal["best", "last"] = "best",
    taught: Taught | None = None,
) -> Path:
    """One network's way through one stage; the weights that validated best, or the last.

    Parameters
    ----------
    build : the network, by `dropout`.
    everything : clips and, behind them, their augmented copies; `of` tells which to learn from
        and which to validate on, if any. run : folder of checkpoints. start : weights to start
        from.
    share : how often each corpus is drawn. taught : by the stage's teachers, if it has any.
    """
    schedule = stage.schedule
    pool, validation = everything.of("train"), everything.of("validation")
    per_epoch = max(schedule.batch_size, len(pool) // (1 + VARIANTS))
    if not stage.copies:
        pool = pool.where(originals(pool))
    probability = drawing_probabilities(pool.clips, share)
    steps = per_epoch // schedule.batch_size
    labels = one_hot(pool.labels, len(EMOTIONS))
    if taught:
        answers = np.array([taught.targets[clip] for clip in pool.clips], np.float32)
        labels += np.float32(stage.taught) * (answers - labels)
    corpus = np.array([voices.CORPORA.index(clip.corpus) for clip in pool.clips])
    sound = mean_spectra(pool)
    lengths = np.array([len(s) for s in pool.spectrograms])

    def epoch_batches(epoch: int) -> Batches:
        hardness = stage.hardness(epoch)
        most = MAX_FRAMES + round(stage.extra_seconds * FRAMES_PER_SECOND)
        longest = round(EASY_FRAMES + hardness * (most - EASY_FRAMES))
        rng = np.random.default_rng([schedule.seed, epoch])
        drawn = rng.choice(len(pool), steps * schedule.batch_size, p=probability)
        batches = voices.of_about_one_length(drawn, lengths, schedule.batch_size, rng)
        frames_of = [min(longest, -(-int(lengths[b].max()) // 16) * 16) for b in batches]
        for cut in np.flatnonzero(rng.random(steps) < stage.short):
            frames_of[cut] = _random_length(frames_of[cut], rng)

        def make(index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            rows, frames = batches[index], frames_of[index]
            rng = np.random.default_rng([schedule.seed, epoch, index])
            x = np.stack(
                [
                    random_spectrogram(
                        random_prosody(pool.spectrograms[i], stage.prosody_change, rng)
                        + another_sound(sound, corpus[i], rng, stage.sound_swap),
                        frames,
                        hardness * stage.masking,
                        rng,
                    )
                    for i in rows
                ]
            )
            x, y = mixed_up(x, labels[rows], hardness * stage.mixup, rng)
            return x[..., np.newaxis], y

        return Batches(steps, make)

    def validation_score(model: keras.Model) -> dict[str, float]:
        if not len(validation):
            return {}
        logits = predicted_logits(model, validation)
        corpora = np.array([clip.corpus for clip in validation.clips])
        found = recalls(validation.labels, logits.argmax(1), corpora, voices.CORPORA)
        return {**{f"uar_{c}": r for c, r in found.items()}, "score": voices.score(found)}

    return fit(
        partial(build, dropout=stage.dropout),
        schedule,
        steps,
        epoch_batches,
        validation_score,
        run,
        start=start,
        recipe={
            "examples": per_epoch,
            "data_sha256": pool.sha256,
            **checks.amiss(pool.labels, voices.not_learnt(everything.left_out)),
            "columns": pool.spectrograms[0].shape[1],
            "built_with": arguments_of(build),
            "taught_by": taught.shipped if taught else "",
            "stage": {**asdict(stage), "schedule": None, "easy": stage.easy_share},
        },
        keep=keep,
        teachers=taught.teachers if taught else (),
    )


def _random_length(frames: int, rng: np.random.Generator) -> int:
    """Up to `frames` and not below `SHORTEST_FRAMES`, in steps of 16."""
    steps = rng.integers(SHORTEST_FRAMES // 16, max(SHORTEST_FRAMES, frames) // 16, endpoint=True)
    return min(frames, 16 * int(steps))


def mean_spectra(pool: voices.Voices) -> NDArray[np.float32]:
    """Mean spectrum of each corpus, (corpora, columns), every emotion of it counting alike.

    Zeros for a corpus that is not there, and in columns that are of no spectrogram; over the
    emotions that all corpora hold, so that no emotion's colour is taken for a corpus's.
    """
    means = np.zeros((len(voices.CORPORA), pool.spectrograms[0].shape[1]), np.float32)
    cells: dict[tuple[str, str], list[NDArray[np.float32]]] = {}
    for clip, spectrogram in zip(pool.clips, pool.spectrograms, strict=True):
        if all(clip.emotion in known for known in voices.EMOTIONS_OF.values()):
            mean = spectrogram.mean(axis=0, dtype=np.float32)
            cells.setdefault((clip.corpus, clip.emotion), []).append(mean)
    for number, name in enumerate(voices.CORPORA):
        found = [np.mean(cell, axis=0) for (corpus, _), cell in cells.items() if corpus == name]
        if found:
            means[number] = np.mean(found, axis=0)
    means[:, spectrogram_columns(means) :] = 0
    return means


def originals(data: voices.Voices) -> NDArray[np.bool_]:
    """(n,) which are clips themselves, and not their augmented copies, which stand behind all."""
    seen: set[voices.Clip] = set()
    mask = np.zeros(len(data), bool)
    for i, clip in enumerate(data.clips):
        mask[i] = clip not in seen
        seen.add(clip)
    return mask


def share_of(data: voices.Voices, fraction: float) -> voices.Voices:
    """A share of the clips, always the same; what is drawn is there with all its copies."""
    if fraction >= 1:
        return data
    distinct = sorted(set(data.clips), key=lambda clip: (clip.corpus, clip.path))
    count = max(1, round(fraction * len(distinct)))
    drawn = np.random.default_rng(SEED).permutation(len(distinct))[:count]
    kept = {distinct[i] for i in drawn}
    return data.where(np.array([clip in kept for clip in data.clips], bool))


def another_sound(
    means: NDArray[np.float32], corpus: int, rng: np.random.Generator, share: float
) -> NDArray[np.float32]:
    """What to add to a clip to make it sound like another corpus's, (columns,); often nothing.

    CREMA-D knows no surprise. Without this, what sounds like its microphone could not be
    surprised, and what does not would be more often.
    """
    there = np.flatnonzero(means.any(axis=1))
    if rng.random() >= share or not len(there):
        return np.zeros(means.shape[1], np.float32)
    change: NDArray[np.float32] = means[rng.choice(there)] - means[corpus]
    return change * np.float32(rng.uniform(0.5, 1.2))
