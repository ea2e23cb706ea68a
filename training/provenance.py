"""With what a model was made: code, libraries, machine."""

from __future__ import annotations

import importlib
import json
import os
import platform
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import DuetError
from training.files import DataSetError

ROOT = Path(__file__).resolve().parent.parent


def git_commit() -> str:
    """The commit checked out, with `-dirty` when tracked files differ from it."""
    try:
        return subprocess.run(
            [
                "git",
                "-C",
                str(ROOT),
                "describe",
                "--always",
                "--dirty",
                "--abbrev=40",
                "--exclude=*",
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def versions() -> dict[str, str]:
    """Of Python, Keras, the library that it calculates with, and NumPy."""
    import keras

    backend = keras.backend.backend()
    return {
        "python": platform.python_version(),
        "keras": keras.__version__,
        backend: importlib.import_module(backend).__version__,
        "numpy": np.__version__,
    }


def hardware() -> str:
    """Processor and number of its cores, and the graphics processor if there is one."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return ", ".join([name, _cores(), *_graphics()])


def _cores() -> str:
    """How many there are, and of how many use was made where that was restricted."""
    there = os.cpu_count() or 1
    # macOS and Windows know no such restriction.
    used = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else there
    return f"{there} cores" if used == there else f"{used} of {there} cores"


def _graphics() -> list[str]:
    """Name of the first NVIDIA card, if any."""
    try:
        names = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return []
    return names[:1]


MADE_WITH = "made_with.json"
"""Written into a run's folder by its training, as the model may be exported elsewhere."""


def note_making(run: Path, command: str, data_sets: Sequence[str]) -> None:
    """Keep by which command, from what, with which libraries and where a run is trained.

    Parameters
    ----------
    data_sets : those of the model's task that are there, by `core.datasets.present`. A run that
        goes on has learnt from those that were there before, too.
    """
    run.mkdir(parents=True, exist_ok=True)
    earlier = made_with(run)
    before = earlier.get("data_sets", [])
    facts = {
        **earlier,
        "command": command,
        "data_sets": [*before, *(name for name in data_sets if name not in before)],
        "versions": versions(),
        "hardware": hardware(),
    }
    part = run / f"{MADE_WITH}.part"
    part.write_text(json.dumps(facts, indent=1))
    part.replace(run / MADE_WITH)


@contextmanager
def unless_refused(run: Path) -> Iterator[None]:
    """Put back what a run said of its making where a training is refused within: it learnt nothing.

    To be entered before `note_making`.
    """
    path = run / MADE_WITH
    before = path.read_bytes() if path.exists() else None
    try:
        yield
    except (DataSetError, DuetError, OSError, ModuleNotFoundError):
        if before is not None:
            path.write_bytes(before)
        elif path.exists():  # not below what is no folder
            path.unlink()
            with suppress(OSError):  # something else is in it
                run.rmdir()
        raise


def made_with(run: Path) -> dict[str, Any]:
    """`versions`, `hardware` and, where they were noted, `command` and `data_sets` of a run.

    Who changes a run on its way adds a `note` to the file, which the card then shows.
    """
    try:
        found: dict[str, Any] = json.loads((run / MADE_WITH).read_text())
    except (OSError, ValueError):  # a run of before it was noted, or noted by halves
        found = {"versions": versions(), "hardware": hardware()}
    return found
