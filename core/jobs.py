"""Training runs started from the app: each is a process of its own that outlives whoever began it.

A run is a folder below `core.places.own_runs()`: `job.json` (what was asked for), `log.txt` and
the checkpoints that `python -m training train` writes every epoch. Nothing else is remembered, so
a closed tab, a restarted server or a crash loses at most the epoch under way.

The process holds the lock on one file for as long as it lives, and the system lets go of it
however it ends: that is how one training at a time is kept, and how it is known to run.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Literal

import numpy as np
from numpy.typing import NDArray

from core import places
from core.errors import DuetError
from core.models import MODELS_FOLDER, Task
from core.reports import History, read_history, told_apart

ROOT = Path(__file__).resolve().parent.parent

RECIPES: dict[str, Task] = {"face-cnn": "face", "voice-cnn": "voice"}
"""What `python -m training train` knows and can be trained on any machine, and for which task."""

NEEDED = ("tensorflow", "keras")
"""Packages that only training needs."""

STAGES = {"face-cnn": 4, "voice-cnn": 11}
"""Of a run of each recipe, until its log says how many there are."""

State = Literal["running", "stopped", "failed", "done"]


@dataclass(frozen=True)
class Job:
    """A run as it was asked for."""

    id: str
    recipe: str
    called: str
    """Name of the model that comes of it."""
    data: str
    epochs: int
    """Of every stage."""
    fraction: float
    """Share of the data, 0 to 1."""
    started: float
    """Seconds since the epoch."""
    pid: int = 0
    stopped: bool = False
    begun: float = 0.0
    """When it was last begun or gone on with; 0 in runs of earlier versions."""

    @property
    def at_work_since(self) -> float:
        """Seconds since the epoch."""
        return self.begun or self.started

    @property
    def folder(self) -> Path:
        return _runs() / self.id

    @property
    def model(self) -> Path:
        """Folder of the finished model."""
        return _models() / self.called

    @property
    def task(self) -> Task:
        return RECIPES[self.recipe]

    def command(self) -> list[str]:
        """What the process runs; the same again goes on where it stopped."""
        return [
            *(sys.executable, "-u", "-m", "training", "train", self.recipe, "--quick"),
            *("--called", self.called, "--data", self.data),
            *("--run", str(self.folder / "checkpoints"), "--models", str(_models())),
            *("--epochs", str(self.epochs), "--fraction", str(self.fraction)),
        ]


def _own(folder: Path | None) -> Path:
    if folder is None:
        raise DuetError(
            "not_found", f"There is no home folder; name one in {places.VARIABLE} and start again."
        )
    return folder


def _runs() -> Path:
    return _own(places.own_runs())


def _models() -> Path:
    return _own(places.own_models())


def missing() -> list[str]:
    """Packages that training needs and this installation lacks."""
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


# --- which run is at work -----------------------------------------------------------------------


_asking = threading.Lock()
"""Else one session that asks would look like a run to another one that asks."""


@contextlib.contextmanager
def _lock() -> Iterator[IO[str] | None]:
    """The lock of running, or None when a run holds it."""
    runs = _runs()
    try:
        runs.mkdir(parents=True, exist_ok=True)
        file = (runs / "lock").open("a+")
    except OSError:
        raise DuetError(
            "not_found",
            f"{runs} cannot be written; name another folder in {places.VARIABLE} and start again.",
        ) from None
    with file, _asking:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield None
            return
        yield file


def running() -> str | None:
    """Id of the run that is at work on this machine, if any."""
    runs = places.own_runs()
    if runs is None or not (runs / "lock").exists():
        return None
    with _lock() as free:
        if free is not None:
            return None
    return (runs / "lock").read_text().strip() or None


# --- starting, stopping, deleting ---------------------------------------------------------------


def start(recipe: str, data: Path, epochs: int, fraction: float) -> Job:
    """Begin a run; it goes on by itself.

    Raises
    ------
    DuetError
        When another one is at work, or nothing can be written.
    """
    number = 1
    taken = {path.name for root in (MODELS_FOLDER, _models()) for path in _folders(root)}
    taken |= {job.called for job in jobs()}
    while f"{recipe}-own-{number}" in taken:
        number += 1
    called = f"{recipe}-own-{number}"
    job = Job(called, recipe, called, str(data.resolve()), epochs, fraction, time.time())
    return _launch(job)


def resume(job: Job) -> Job:
    """Go on with a run that was stopped or failed, from its last finished epoch."""
    return _launch(job)


def _folders(root: Path) -> list[Path]:
    return [path for path in root.iterdir() if path.is_dir()] if root.is_dir() else []


def _launch(job: Job) -> Job:
    with _lock() as free:
        if free is None:
            raise DuetError(
                "busy", "A training is at work already; stop it, or wait until it is done."
            )
        try:
            return _begin(job, free)
        except OSError as error:
            raise DuetError(
                "not_found", f"The training could not begin: {error}; see to it and start again."
            ) from None


def _begin(job: Job, free: IO[str]) -> Job:
    job.folder.mkdir(parents=True, exist_ok=True)
    free.truncate(0)
    free.write(job.id)
    free.flush()
    with (job.folder / "log.txt").open("a") as log:
        process = subprocess.Popen(
            job.command(),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(free.fileno(),),  # the lock is held until the process ends
        )
    threading.Thread(target=process.wait, daemon=True).start()  # else it stays as a zombie
    begun = Job(**{**asdict(job), "pid": process.pid, "stopped": False, "begun": time.time()})
    _write(begun)
    return begun


def stop(job: Job) -> None:
    """End the process of a run; what it saved stays."""
    if running() != job.id:
        return
    # `job` may be what a page saw before the run was stopped and went on as another process.
    now = next((known for known in jobs() if known.id == job.id), job)
    _write(Job(**{**asdict(now), "stopped": True}))
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(now.pid, signal.SIGTERM)


def delete(job: Job) -> None:
    """Remove a run that is not at work, and the model that came of it."""
    if running() == job.id:
        raise DuetError("busy", "This training is at work; stop it first.")
    for folder in (job.folder, job.model):
        shutil.rmtree(folder, ignore_errors=True)


def _write(job: Job) -> None:
    part = job.folder / "job.part"
    part.write_text(json.dumps(asdict(job), indent=1))
    part.replace(job.folder / "job.json")


# --- how far they are ---------------------------------------------------------------------------


def jobs() -> list[Job]:
    """All runs whose `job.json` can be read, the latest first."""
    runs = places.own_runs()
    found = []
    for folder in _folders(runs) if runs else []:
        try:
            job = Job(**json.loads((folder / "job.json").read_text()))
            usable = job.id == folder.name and job.recipe in RECIPES and job.called == job.id
        except (OSError, ValueError, TypeError):
            continue
        if usable:
            found.append(job)
    return sorted(found, key=lambda job: -job.started)


def state(job: Job) -> State:
    """Whether it runs, or how it ended."""
    if running() == job.id:
        return "running"
    if (job.model / "README.md").is_file():
        return "done"
    return "stopped" if job.stopped else "failed"


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    words: str
    done: int
    total: int
    """Epochs of all stages."""
    seconds_left: float | None
    """Of training, by the epochs so far; None before the first and after the last one."""
    history: History | None
    """The epochs of all stages with labels, numbered through."""

    @property
    def share(self) -> float:
        return min(1.0, self.done / self.total)


def progress(job: Job) -> Progress:
    """What the run's files say."""
    log = tail(job)
    stages = re.findall(r"^stage \d+ of (\d+)$", log, re.MULTILINE)
    total = job.epochs * (int(stages[-1]) if stages else STAGES[job.recipe])
    read = _read(job)
    seconds = [
        columns.get("seconds", np.full(len(columns["epoch"]), np.nan)) for _, columns in read
    ]
    done = sum(map(len, seconds))
    history = _history(job, read)
    return Progress(_words(job, done, total, log), done, total, _left(seconds, total), history)


Columns = dict[str, NDArray[np.float64]]


def _read(job: Job) -> list[tuple[Path, Columns]]:
    """What was logged of each stage so far, without labels too, the stage at work last."""
    found = []
    histories = (job.folder / "checkpoints").rglob("history.csv")
    for path in sorted(histories, key=lambda path: path.stat().st_mtime):
        try:
            found.append((path, read_history(path).columns))
        except DuetError:  # being written just now
            continue
    return found


def _history(job: Job, read: list[tuple[Path, Columns]]) -> History | None:
    parts, networks = [], []
    place = job.folder / "checkpoints"
    logged = dict(read)
    begun = [*dict.fromkeys(path.parent.parent for path in logged)]
    with_labels = sorted(
        (path for path in logged if path.parent.name.startswith("stage")),
        key=lambda path: (begun.index(path.parent.parent), path),
    )
    for number, path in enumerate(with_labels):
        columns = logged[path]
        parts.append({**columns, "stage": np.full(len(columns["epoch"]), number + 1.0)})
        network = path.parent.parent.relative_to(place).name
        networks += [network] * len(columns["epoch"])
    if not parts:
        return None
    names = [name for name in parts[0] if all(name in part for part in parts)]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in names}
    columns = {**joined, "epoch": np.arange(1.0, len(networks) + 1)}
    return History(columns, told_apart(networks))


def _left(seconds: list[NDArray[np.float64]], total: int) -> float | None:
    """How long the epochs that are not done yet will take, by the last ones."""
    every = np.concatenate([*seconds, []])
    if not np.isfinite(every[-5:]).any() or len(every) >= total:
        return None
    return float(np.nanmedian(every[-5:])) * (total - len(every))


def _words(job: Job, done: int, total: int, log: str) -> str:
    if done >= total:
        return "Measuring the model and writing its folder"
    if done:
        return f"{done} of {total} epochs are done"
    prepared = re.findall(r"^spectrograms: (\d+) of (\d+)$", log, re.MULTILINE)
    if prepared and prepared[-1][0] != prepared[-1][1]:
        ready, all_ = (int(number) for number in prepared[-1])
        return f"Preparing the recordings: {ready:,} of {all_:,}"
    return "Reading the data" if job.task == "face" else "Reading the data; this can take minutes"


def tail(job: Job, most: int = 20_000) -> str:
    """The end of the run's log."""
    try:
        with (job.folder / "log.txt").open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - most))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def fault(job: Job) -> str:
    """Why a run failed: the last line of its log that says something."""
    lines = [line.strip() for line in tail(job).splitlines()]
    noise = re.compile(r"^([IWEF]\d{4} |WARNING|INFO|Traceback|\^|~)")
    said = [line for line in lines if line and not noise.match(line)]
    return said[-1][:400] if said else "The process ended without a word"
