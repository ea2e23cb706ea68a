"""How soon a new tone of voice is named and how steady an old one is, in simulated time.

Two clips of one speaker whom the model was not trained on, each said twice with short pauses, go
through `listening.Listener` window after window, as a `director.Director` would hear them. No
clock, no thread and no browser is involved: the same clips give the same numbers anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core import index, media
from core.datasets import Files, locate
from core.errors import DuetError
from core.labels import EMOTIONS
from core.live.listening import HOP_SECONDS, WINDOW_SECONDS, Listener
from core.media import SAMPLE_RATE
from core.models import Model, find, load
from core.voice import find_speech, overall_logits
from core.voice.activity import PAD_SECONDS

CORPORA = ("ravdess", "crema_d")
PAIRS = 120
GAP_SECONDS = 0.3
"""Between two clips; what is cut off around their words comes on top."""

SETTLED_SECONDS = 1.5
"""Of the first clip, after which its label is judged."""

TIMELY_SECONDS = 1.0
SEED = 7


@dataclass(frozen=True)
class Spoken:
    """A clip from its first to its last word. emotion : as labelled; named : by the model."""

    samples: NDArray[np.float32]
    emotion: str
    named: str


@dataclass(frozen=True)
class Followed:
    """What was shown while one pair was heard: (seconds, label or None) of each window."""

    first: Spoken
    second: Spoken
    change: float
    """When the first word in the new tone begins, in seconds."""
    shown: tuple[tuple[float, str | None], ...]

    @property
    def old(self) -> list[str | None]:
        """Shown while the first clip is heard, once it has settled."""
        return [label for time, label in self.shown if SETTLED_SECONDS <= time <= self.change]

    @property
    def delay(self) -> float | None:
        """Seconds from the first word until the second clip's label is shown, if it is."""
        late = (time for time, label in self.shown
                if time > self.change and label == self.second.named)  # fmt: skip
        return next((time - self.change for time in late), None)


def pairs(
    data: Path, split: str, model: Model, count: int = PAIRS
) -> Iterator[tuple[Spoken, Spoken]]:
    """Clips of one speaker in two tones, from `CORPORA` alike.

    Parameters
    ----------
    data : folder that holds at least one of `CORPORA`. split : `validation` or `test`.

    Raises
    ------
    DuetError
        When none of `CORPORA` is there.
    """
    there = {name: Files(path) for name in CORPORA if (path := locate(data, name))}
    if not there:
        raise DuetError("not_found", f"{data} holds neither {' nor '.join(CORPORA)}.")
    rows = index.read()
    rows = rows[rows["dataset"].isin(list(there)) & (rows["split"] == split)]
    rng = np.random.default_rng(SEED)
    for number in range(count):
        dataset = list(there)[number % len(there)]
        two = _draw(rows[rows["dataset"] == dataset], rng)
        try:
            first, second = (_spoken(there[dataset], row, model) for row in two)
        except DuetError:  # a clip that the app would refuse
            continue
        yield first, second


def _draw(rows: pd.DataFrame, rng: np.random.Generator) -> list[Any]:
    """Two rows of one speaker with different labels."""
    speakers = sorted(rows["speaker"].astype(str).unique())
    theirs = rows[rows["speaker"].astype(str) == speakers[rng.integers(len(speakers))]]
    while True:
        two = [theirs.iloc[place] for place in rng.choice(len(theirs), 2, replace=False)]
        if two[0]["label"] != two[1]["label"]:
            return two


def _spoken(files: Files, row: Any, model: Model) -> Spoken:
    decoded = media.decode_audio(files.read(row["file"]), row["file"])
    phrases = find_speech(decoded)
    start, end = (round(time * SAMPLE_RATE) for time in (phrases[0][0], phrases[-1][1]))
    cut = decoded.samples[start:end]
    named = EMOTIONS[int(np.argmax(overall_logits(decoded.samples, phrases, model)))]
    loud = np.asarray(0.5 * cut / max(float(np.abs(cut).max()), 1e-6), np.float32)
    return Spoken(loud, row["label"], named)


def follow(first: Spoken, second: Spoken, model: Model) -> Followed:
    """Hear both clips, each twice, in windows a hop apart."""
    gap = np.zeros(round(GAP_SECONDS * SAMPLE_RATE), np.float32)
    a, b = first.samples, second.samples
    whole = np.concatenate([a, gap, a, gap, b, gap, b])
    whole = whole + np.random.default_rng(len(whole)).normal(0, 0.001, len(whole))
    sound = np.asarray(whole, np.float32)
    # Windows fall anywhere in the words: the hop is no divisor of where the tone changes.
    ends = np.arange(1.0, len(sound) / SAMPLE_RATE, HOP_SECONDS)
    listener, shown = Listener(), []
    for end in ends:
        last = round(end * SAMPLE_RATE)
        window = sound[max(0, last - round(WINDOW_SECONDS * SAMPLE_RATE)) : last]
        shown.append((float(end), listener.update(window, model)[1]))
    change = 2 * (len(a) + len(gap)) / SAMPLE_RATE + PAD_SECONDS
    return Followed(first, second, change, tuple(shown))


def measure(data: Path | str, split: str = "test", count: int = PAIRS) -> dict[str, Any]:
    """Follow pairs of `split` and sum up, as `summarise` does."""
    model = load(find("voice"), threads=1)
    followed = [follow(*pair, model) for pair in pairs(Path(data), split, model, count)]
    return {"split": split, "pairs": len(followed), **summarise(followed)}


def summarise(followed: Sequence[Followed]) -> dict[str, float | None]:
    """Delays of new tones (seconds), and how steady and right the old ones were.

    A pair counts for the delay when the model names its clips differently and does not show the
    second one's label beforehand. A tone that is never named counts as a late one.
    """
    new = [pair for pair in followed if pair.second.named not in (pair.first.named, *pair.old[-1:])]
    delays = np.array([np.inf if pair.delay is None else pair.delay for pair in new])
    said = [[label for label in pair.old if label] for pair in followed]
    minutes = sum(len(labels) for labels in said) * HOP_SECONDS / 60
    changes = sum(x != y for labels in said for x, y in pairwise(labels))
    right = [label == pair.first.emotion for pair, labels in zip(followed, said, strict=True)
             for label in labels]  # fmt: skip
    middle = float(np.median(delays)) if len(delays) else np.inf
    return {
        "new_tone_named_median_s": round(middle, 2) if np.isfinite(middle) else None,
        "named_within_a_second": _share(delays <= TIMELY_SECONDS),
        "named_at_all": _share(np.isfinite(delays)),
        "changes_a_minute_in_one_tone": round(changes / minutes, 1) if minutes else None,
        "right_in_one_tone": _share(np.array(right)),
    }


def _share(true: NDArray[np.bool_]) -> float | None:
    return round(float(np.mean(true)), 3) if len(true) else None


def lines(report: Mapping[str, Any]) -> Iterator[str]:
    """The report of `measure` for people."""
    yield f"tones in simulated time, {report['pairs']} pairs of clips ({report['split']})"
    for name, value in report.items():
        if name not in ("split", "pairs"):
            yield f"  {name.replace('_', ' '):42}{value if value is not None else '-':>10}"
