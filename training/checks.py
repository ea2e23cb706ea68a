"""What is wrong with data is named and counted before anything is learnt or judged on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.labels import EMOTIONS
from training.files import DataSetError

NAMED = 5
"""How many of the examples that were left out are told, or noted, by name."""


def missing_emotions(labels: NDArray[np.int64], where: str) -> list[str]:
    """The emotions of which `labels` holds none.

    Raises
    ------
    DataSetError
        When fewer than two are left: nothing can be told apart then.
    """
    missing = _without_example(labels)
    if len(EMOTIONS) - len(missing) < 2:
        there = [name for name in EMOTIONS if name not in missing]
        raise DataSetError(
            f"{where} holds {f'only {there[0]}' if there else 'no example'}; at least two emotions "
            "are needed to tell them apart."
        )
    return missing


def _without_example(labels: NDArray[np.int64]) -> list[str]:
    return [name for index, name in enumerate(EMOTIONS) if index not in labels]


def told(labels: NDArray[np.int64], left_out: Sequence[str], where: str) -> None:
    """Say what is missing from data that are about to be used, and how much could not be read.

    Raises
    ------
    DataSetError
        When fewer than two emotions are left.
    """
    told_left_out(left_out, where)  # first, as it may be why nothing is left
    if missing := missing_emotions(labels, where):
        print(f"{where} holds no example of {', '.join(missing)}", flush=True)


def amiss(labels: NDArray[np.int64], left_out: Sequence[str]) -> dict[str, Any]:
    """What is noted of training data that are not as they should be; nothing of others.

    Returns
    -------
    `missing`: emotions without an example; `left_out`: how many could not be read.
    """
    facts = {"missing": _without_example(labels), "left_out": len(left_out)}
    return {name: value for name, value in facts.items() if value}


def told_left_out(left_out: Sequence[str], where: str) -> None:
    """Say how much of some data could not be read, and name the first of it."""
    if left_out:
        print(f"left out of {where.replace('The ', 'the ', 1)}: {len(left_out):,}", flush=True)
        for fault in left_out[:NAMED]:
            print(f"  {fault}", flush=True)
        if len(left_out) > NAMED:
            print(f"  and {len(left_out) - NAMED:,} more", flush=True)


def noted(left_out: Sequence[str]) -> dict[str, Any]:
    """What a file of results says of what was left out.

    Returns
    -------
    `left_out`: how many; `left_out_names`: which, and why, where they are at most `NAMED`.
    """
    few = {"left_out_names": list(left_out)} if 0 < len(left_out) <= NAMED else {}
    return {"left_out": len(left_out), **few}
