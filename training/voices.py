"""RAVDESS, CREMA-D, SAVEE and TESS: clips, who speaks in them, and the split by speaker."""

from __future__ import annotations

import multiprocessing
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path, PurePosixPath
from types import ModuleType

import cv2
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from core.datasets import AUDIO_SUFFIXES, CORPORA
from core.errors import DuetError
from core.labels import EMOTIONS, INDEX
from core.media import decode_audio
from core.voice import features, find_speech, prosody
from training.files import DataSetError, Files, locate
from training.views import VIEW, VIEWS, WINDOWS

TEST_SPEAKERS = {
    "ravdess": {"2", "5", "14", "15", "16"},
    "crema_d": {str(actor) for actor in range(1074, 1092)},
    "savee": {"KL"},
    "tess": {"YAF"},
}
VALIDATION_SPEAKERS = {
    "ravdess": {"3", "6", "7", "13"},
    "crema_d": {str(actor) for actor in range(1062, 1074)},
    "savee": {"JK"},
    "tess": set[str](),
}

SEVERAL_SPEAKERS = ("ravdess", "crema_d")
"""The two with several speakers to validate on and to test: what is chosen is chosen by them."""

EMOTIONS_OF = {
    "ravdess": set(EMOTIONS),
    "crema_d": set(EMOTIONS) - {"surprise"},
    "savee": set(EMOTIONS),
    "tess": set(EMOTIONS),
}
"""What the actors of each corpus were asked for."""

_RAVDESS = {
    "01": "neutral",
    "02": "neutral",  # calm, as in the paper
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}
_CREMA_D = {
    "ANG": "angry",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}
_SAVEE = {
    "a": "angry",
    "d": "disgust",
    "f": "fear",
    "h": "happy",
    "n": "neutral",
    "sa": "sad",
    "su": "surprise",
}
_SAVEE_SPEAKERS = ("DC", "JE", "JK", "KL")
_TESS_SPEAKERS = {"OAF": "OAF", "OA": "OAF", "YAF": "YAF"}
"""One clip of the set is spelt OA instead of OAF."""
_TESS = {
    "angry": "angry",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happy",
    "neutral": "neutral",
    "ps": "surprise",
    "sad": "sad",
}


@dataclass(frozen=True)
class Clip:
    """One recording of a corpus."""

    corpus: str
    path: str
    """Inside the corpus's folder or zip."""
    speaker: str
    emotion: str
    split: str
    """train, validation or test."""

    @property
    def label(self) -> int:
        return INDEX[self.emotion]


def told_apart(clips: Iterable[tuple[Clip, int]]) -> str:
    """SHA-256 over clips, wherever they lie, and a number of each."""
    told = [
        (clip.corpus, clip.speaker, PurePosixPath(clip.path).name, clip.emotion, number)
        for clip, number in clips
    ]
    return sha256(repr(told).encode()).hexdigest()


def speakers_of(clips: Sequence[Clip]) -> NDArray[np.str_]:
    """(n,) `corpus/speaker` of each clip, as intervals take them (`training.measures`)."""
    return np.array([f"{clip.corpus}/{clip.speaker}" for clip in clips])


def parse(corpus: str, path: PurePosixPath) -> tuple[str, str] | None:
    """(speaker, emotion) from a clip's name and folder, or None for a file of another kind."""
    stem = path.stem
    if corpus == "ravdess":
        parts = stem.split("-")
        known = parts[:2] == ["03", "01"] and len(parts) == 7 and parts[6].isdecimal()
        if known and parts[2] in _RAVDESS:
            return str(int(parts[6])), _RAVDESS[parts[2]]
    elif corpus == "crema_d":
        parts = stem.split("_")
        if len(parts) == 4 and parts[0].isdecimal() and parts[2] in _CREMA_D:
            return parts[0], _CREMA_D[parts[2]]
    elif corpus == "savee":
        # In its makers' own layout, `AudioData/DC/a01.wav`, the folder alone names the speaker.
        folder = path.parent.name.upper()
        named = f"{folder}_{stem}" if folder in _SAVEE_SPEAKERS and "_" not in stem else stem
        match = re.fullmatch(r"([A-Z]{2})_([a-z]{1,2})\d+", named)
        if match and match[2] in _SAVEE:
            return match[1], _SAVEE[match[2]]
    elif corpus == "tess":
        parts = stem.split("_")
        speaker = _TESS_SPEAKERS.get(parts[0].upper())
        if speaker and len(parts) >= 3 and parts[-1].lower() in _TESS:
            return speaker, _TESS[parts[-1].lower()]
    return None


def score(found: Mapping[str, float]) -> float:
    """By which networks are chosen: mean of `SEVERAL_SPEAKERS`'s recalls, or of those there are."""
    counted = [found[name] for name in SEVERAL_SPEAKERS if name in found] or [*found.values()]
    return float(np.mean(counted))


def speaker_of(name: str) -> str:
    """`corpus/speaker` of a clip that is known as `corpus/path`."""
    corpus, path = name.split("/", 1)
    parsed = parse(corpus, PurePosixPath(path))
    return f"{corpus}/{parsed[0] if parsed else ''}"


def split_of(corpus: str, speaker: str) -> str:
    if speaker in TEST_SPEAKERS[corpus]:
        return "test"
    if speaker in VALIDATION_SPEAKERS[corpus]:
        return "validation"
    return "train"


def clips(data: Path | str) -> list[Clip]:
    """All clips of the corpora found at `data`, each once, sorted.

    Raises
    ------
    DataSetError
        When none of the four is there.
    """
    found: list[Clip] = []
    for corpus, path in _found(data).items():
        heard: set[tuple[str, str]] = set()
        for name in Files(path).with_suffix(AUDIO_SUFFIXES):
            parsed = parse(corpus, name)
            if parsed is None:
                continue
            speaker, emotion = parsed
            # SAVEE's a01 is there once a speaker, and his DC_a01 is the a01 in the folder DC.
            clip = speaker, name.stem.removeprefix(f"{speaker}_")
            if clip in heard:  # Kaggle's RAVDESS holds every clip twice
                continue
            heard.add(clip)
            found.append(Clip(corpus, str(name), speaker, emotion, split_of(corpus, speaker)))
    if not found:
        raise DataSetError(
            f"No voice data at {data}: put ravdess.zip, crema_d.zip, savee.zip or tess.zip, or "
            "their unpacked folders, there."
        )
    return found


@dataclass(frozen=True)
class HeardClips:
    """Clips that the app would answer: they decode and speech is found in them."""

    clips: list[Clip]
    samples: list[NDArray[np.float32]]
    """At 16 kHz."""
    segments: list[list[tuple[float, float]]]
    """Where there is speech, in seconds."""
    left_out: tuple[str, ...]
    """The others, and why."""

    @property
    def labels(self) -> NDArray[np.int64]:
        return np.array([clip.label for clip in self.clips])

    @property
    def corpora(self) -> NDArray[np.str_]:
        return np.array([clip.corpus for clip in self.clips])


def hear(data: Path | str, chosen: list[Clip]) -> HeardClips:
    """Decode clips and find the speech in them."""
    opened = archives(data)
    kept, samples, segments, left_out = [], [], [], []
    for clip in chosen:
        try:
            decoded = decode_audio(opened[clip.corpus].read(clip.path), clip.path)
            spoken = find_speech(decoded)
        except (DuetError, DataSetError) as error:
            left_out.append(f"{clip.corpus} {clip.path}: {error}")
            continue
        kept.append(clip)
        samples.append(decoded.samples)
        segments.append(spoken)
    return HeardClips(kept, samples, segments, tuple(left_out))


def archives(data: Path | str) -> dict[str, Files]:
    """The corpora found at `data`, opened."""
    return {corpus: Files(path) for corpus, path in _found(data).items()}


def _found(data: Path | str) -> dict[str, Path]:
    places = {corpus: locate(data, corpus) for corpus in CORPORA}
    return {corpus: path for corpus, path in places.items() if path is not None}


@dataclass(frozen=True)
class Voices:
    """Spectrograms with labels: `spectrograms[i]` is (frames, columns), a view of the clip.

    See `training.views`.
    """

    clips: tuple[Clip, ...]
    spectrograms: tuple[NDArray[np.float16], ...]
    left_out: tuple[Clip, ...] = ()
    """Those that could not be heard, of any split."""

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def labels(self) -> NDArray[np.int64]:
        return np.array([clip.label for clip in self.clips])

    @property
    def sha256(self) -> str:
        """What tells these data from others: which clips they are, and how long."""
        parts = zip(self.clips, map(len, self.spectrograms), strict=True)
        return told_apart((clip, length) for clip, length in parts)

    def where(self, mask: NDArray[np.bool_]) -> Voices:
        rows = np.flatnonzero(mask)
        chosen = tuple(self.clips[i] for i in rows)
        return Voices(chosen, tuple(self.spectrograms[i] for i in rows), self.left_out)

    def of(self, split: str, corpus: str | None = None) -> Voices:
        return self.where(
            np.array([c.split == split and corpus in (None, c.corpus) for c in self.clips], bool)
        )


def of_about_one_length(
    drawn: NDArray[np.int64], lengths: NDArray[np.int64], size: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Batches (n, size) of clips that were drawn, so that little of a batch is padding or cut off.

    Parameters
    ----------
    drawn : rows of clips, as many as batches of `size` hold. lengths : of all clips, by row.
    """
    order = np.argsort(lengths[drawn] * rng.uniform(0.8, 1.25, len(drawn)))
    return rng.permutation(drawn[order].reshape(-1, size))


def load(
    data: Path | str,
    cache: Path,
    variants: int = 0,
    seed: int = 7,
    split: Callable[[Clip], str] | None = None,
    view: str = VIEW,
    only: Collection[Clip] | None = None,
) -> Voices:
    """Spectrograms of all clips, computed once in parallel and kept in `cache`.

    Parameters
    ----------
    variants : how many augmented copies of each *training* clip to add behind the clips
        themselves (made after the split, from training clips only).
    split : train, validation or test of each clip, where it is not to be that of `split_of`.
    view : of `training.views`, what the network is to see; what `voice-cnn` sees by default.
    only : clips beside which no other is looked at; all by default.

    A clip that cannot be decoded, or is silent, is named on standard output and left out. The
    cache keeps the clips of each corpus, and each set of their copies, apart, known by the clips,
    the view and the constants of `core.voice.features` and `core.voice.prosody`: remove it after a
    change to how clips are augmented or decoded, or to how pitch is found. What no run uses any
    more stays in it until it is removed.
    """
    listed = clips(data)
    if split is not None:
        listed = [replace(clip, split=split(clip)) for clip in listed]
    if only is not None:
        listed = [clip for clip in listed if clip in only]
    sets: list[Set] = []
    for seeds in (None, *([seed, variant] for variant in range(variants))):
        for corpus in dict.fromkeys(clip.corpus for clip in listed):
            spoken = [clip for clip in listed if clip.corpus == corpus]
            wanted = spoken if seeds is None else [c for c in spoken if c.split == "train"]
            if wanted:
                sets.append((wanted, seeds))
    places = [cache / f"voices-{_key(one, view)}.npz" for one in sets]
    cache.mkdir(parents=True, exist_ok=True)
    missing = {p: s for p, s in zip(places, sets, strict=True) if not p.exists()}
    _fill(Path(data), missing, view)
    kept: list[tuple[Clip, NDArray[np.float16]]] = []
    lengths_of: list[NDArray[np.int64]] = []
    for (wanted, _), path in zip(sets, places, strict=True):
        with np.load(path) as stored:
            flat, lengths = stored["flat"], stored["lengths"]
        lengths_of.append(lengths)
        kept += [
            (clip, flat[end - length : end])
            for clip, length, end in zip(wanted, lengths, np.cumsum(lengths), strict=True)
            if length
        ]
    left_out = tell_left_out(listed, np.concatenate(lengths_of)[: len(listed)] > 0)
    return Voices(tuple(c for c, _ in kept), tuple(s for _, s in kept), left_out)


Set = tuple[list[Clip], list[int] | None]
"""Clips, and what seeds their copies; None for the clips themselves."""


def _key(one: Set, view: str) -> str:
    """What the cache knows a set by."""
    wanted, seeds = one
    names = [(clip.corpus, clip.path) for clip in wanted]
    constants = [_constants(part) for part in (features, prosody)]
    known_by = (names, seeds, view, WINDOWS, constants)
    return sha256(repr(known_by).encode()).hexdigest()[:16]


def _fill(data: Path, missing: dict[Path, Set], view: str) -> None:
    """Compute the sets that the cache lacks, by file; each is kept as soon as it is whole."""
    jobs = [(clip, seeds) for wanted, seeds in missing.values() for clip in wanted]
    computed = _spectrograms(data, jobs, view)
    for path, (wanted, _) in missing.items():
        parts = list(islice(computed, len(wanted)))
        part = path.with_suffix(f".{os.getpid()}.part.npz")  # others may be at it, too
        np.savez(part, flat=np.concatenate(parts), lengths=np.array([len(p) for p in parts]))
        part.replace(path)


def tell_left_out(listed: list[Clip], usable: NDArray[np.bool_]) -> tuple[Clip, ...]:
    """Name and count the clips that are not usable, also where a cache already knew of them.

    Returns
    -------
    These clips.
    """
    spoilt = [clip for clip, good in zip(listed, usable, strict=True) if not good]
    if spoilt:
        names = ", ".join(f"{clip.corpus} {clip.path}" for clip in spoilt)
        print(f"left out {len(spoilt):,} of {len(listed):,} clips: {names}", flush=True)
    return tuple(spoilt)


def not_learnt(left_out: Sequence[Clip]) -> list[str]:
    """Names of the clips of training speakers among those that were left out."""
    return [f"{clip.corpus} {clip.path}" for clip in left_out if clip.split == "train"]


def _constants(part: ModuleType) -> dict[str, object]:
    return {k: v for k, v in vars(part).items() if k.isupper()}


def _spectrograms(
    data: Path, jobs: list[tuple[Clip, list[int] | None]], view: str
) -> Iterator[NDArray[np.float16]]:
    """In the order of `jobs`; (0, columns) for a clip that cannot be used."""
    if not jobs:
        return
    with helpers(data) as pool:
        make = partial(_spectrogram, view)
        for done, part in enumerate(pool.map(make, jobs, chunksize=16), 1):
            if done % 1000 == 0 or done == len(jobs):
                print(f"spectrograms: {done} of {len(jobs)}", flush=True)
            yield part


_archives: dict[str, Files] = {}
"""A helper's corpora."""


def helpers(data: Path) -> ProcessPoolExecutor:
    """A process for each core, and a thread in each, whose jobs can read the `content` of clips."""
    # Spawned, not forked: whoever calls may have TensorFlow's threads running.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(os.cpu_count(), context, _open, (data,))


def _open(data: Path) -> None:
    # Threads that wait for the next piece of a small product would take the other processes' cores.
    # One means none beside that which calls, on every system; by none at all OpenCV 5.0 divides
    # where another thread is at work.
    cv2.setNumThreads(1)
    threadpool_limits(1)
    _archives.update(archives(data))


def content(clip: Clip) -> bytes:
    """The clip's file, in a process of `helpers`.

    Raises
    ------
    DataSetError
        When it is damaged.
    """
    return _archives[clip.corpus].read(clip.path)


def _spectrogram(view: str, job: tuple[Clip, list[int] | None]) -> NDArray[np.float16]:
    from training.augment_voice import random_voice

    clip, seed = job
    try:
        samples = decode_audio(content(clip), clip.path).samples
    except (DuetError, DataSetError) as error:
        if seed is None:  # its copies lack the same
            print(f"left out {clip.corpus} {clip.path}: {error}", flush=True)
        return VIEWS[view](np.zeros(features.SAMPLE_RATE, np.float32))[:0]
    if seed is not None:
        digest = int.from_bytes(sha256(clip.path.encode()).digest()[:4])
        samples = random_voice(samples, np.random.default_rng([*seed, digest]))
    return VIEWS[view](samples)
