"""How fast `training.voice1d` computes its descriptors, beside librosa clip by clip on one core."""

from __future__ import annotations

import importlib.util
import io
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.bench import machine
from core.voice.descriptors import (
    DESCRIPTOR_RATE,
    FRAME_LENGTH,
    HOP_LENGTH,
    MFCC_COEFFICIENTS,
    SKIPPED_SECONDS,
    descriptors,
    window_from,
)
from training import voice1d, voices
from training.files import DataSetError

CLIPS_A_CORE = 200
"""Timed in parallel, evenly over all of them."""
REPEATED = 2
CLIPS_OF_LIBROSA = 60


def descriptor_speed(data: Path) -> dict[str, Any]:
    """Milliseconds of the descriptors of a window, and of a whole clip with its augmented copies.

    Decoding and augmenting a clip take longer than its descriptors; so both are told.

    Returns
    -------
    `window`: `ours` and `librosas`, both on one core, and `times_faster`. `clip`: the same with
    decoding and `copies`, ours on all cores, librosa's on one. `clips` timed of both, `machine`.

    Raises
    ------
    DataSetError
        When there are no clips, or librosa is not installed.
    """
    if not importlib.util.find_spec("librosa"):
        raise DataSetError("librosa is not installed: pip install -r requirements-dev.txt")
    listed = voices.clips(data)
    count = CLIPS_A_CORE * (os.cpu_count() or 1)
    chosen = listed[:: max(1, len(listed) // count)][:count]
    few = chosen[:: max(1, len(chosen) // CLIPS_OF_LIBROSA)][:CLIPS_OF_LIBROSA]
    opened = voices.archives(data)
    contents = [opened[clip.corpus].read(clip.path) for clip in few]
    timed, ours = _in_parallel(data, chosen)
    with voices.helpers(data) as pool:
        window, librosas = pool.submit(_on_one_core, contents).result()
    return {
        "window": window,
        "clip": _compared(ours, librosas),
        "copies": voice1d.COPIES,
        "clips": [timed, len(contents)],
        "machine": machine(),
        "command": "python -m training descriptor-speed --data PATH",
    }


def _compared(ours: float, librosas: float) -> dict[str, float]:
    return {
        "ours": round(1000 * ours, 2),
        "librosas": round(1000 * librosas, 2),
        "times_faster": round(librosas / ours, 1),
    }


def _each(job: Callable[[Any], object], inputs: Sequence[Any]) -> float:
    """Seconds for one of `inputs`, on average."""
    begun = time.perf_counter()
    for one in inputs:
        job(one)
    return (time.perf_counter() - begun) / len(inputs)


def _on_one_core(contents: list[bytes]) -> tuple[dict[str, float], float]:
    """(`window`, seconds of librosa's for a clip) in a process of `voices.helpers`: one thread."""
    rng = np.random.default_rng(0)
    windows = [by_librosa(content, rng)[1] for content in contents]  # it compiles at the first
    window = _compared(_each(descriptors, windows), _each(librosa_descriptors, windows))
    return window, _each(lambda content: by_librosa(content, rng), contents)


def _in_parallel(data: Path, chosen: list[voices.Clip]) -> tuple[int, float]:
    """(clips timed, seconds for one of them) on all cores, once all helpers are at work."""
    first = os.cpu_count() or 1
    begin, timed = chosen[: first * voice1d.CHUNK], chosen * REPEATED
    with voices.helpers(data) as pool:
        job = partial(voice1d.of_clip, voice1d.SCHEDULE.seed)
        list(pool.map(job, begin, chunksize=voice1d.CHUNK))
        begun = time.perf_counter()
        list(pool.map(job, timed, chunksize=voice1d.CHUNK))
        return len(timed), (time.perf_counter() - begun) / len(timed)


def by_librosa(
    content: bytes, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Decoding, the four augmentations and descriptors, all by librosa.

    What `training.voice1d.first_windows` computes in its own way.

    Returns
    -------
    descriptors : (1 + COPIES, DESCRIPTORS), of the clip and its copies.
    window : (WINDOW_SAMPLES,), the clip's own.
    """
    import librosa

    sound, _ = librosa.load(io.BytesIO(content), sr=DESCRIPTOR_RATE)

    def noise(y: NDArray[np.float32]) -> NDArray[np.float32]:
        return y + rng.normal(0, 0.05 * float(y.std()), len(y)).astype(np.float32)

    def tempo(y: NDArray[np.float32]) -> NDArray[np.float32]:
        return librosa.effects.time_stretch(y, rate=rng.uniform(0.8, 1.2))

    def pitch(y: NDArray[np.float32]) -> NDArray[np.float32]:
        return librosa.effects.pitch_shift(y, sr=DESCRIPTOR_RATE, n_steps=rng.uniform(-2, 2))

    def shift(y: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.roll(y, round(rng.uniform(-0.25, 0.25) * DESCRIPTOR_RATE))

    ways: list[Callable[[NDArray[np.float32]], NDArray[np.float32]]] = [noise, tempo, pitch, shift]
    copies = [ways[rng.integers(len(ways))](sound) for _ in range(voice1d.COPIES)]
    windows = [window_from(one, SKIPPED_SECONDS) for one in (sound, *copies)]
    return np.stack([librosa_descriptors(window) for window in windows]), windows[0]


def librosa_descriptors(window: NDArray[np.float32]) -> NDArray[np.float32]:
    """What `core.voice.descriptors.descriptors` gives for a window, by librosa's functions."""
    import librosa

    size, hop = FRAME_LENGTH, HOP_LENGTH
    crossing = librosa.feature.zero_crossing_rate(window, frame_length=size, hop_length=hop)[0]
    energy = librosa.feature.rms(y=window, frame_length=size, hop_length=hop)[0]
    mfcc = librosa.feature.mfcc(y=window, sr=DESCRIPTOR_RATE, n_mfcc=MFCC_COEFFICIENTS)
    return np.concatenate([crossing, energy, mfcc.T.ravel()]).astype(np.float32)
