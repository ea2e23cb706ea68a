"""What the last three seconds of sound say; silence is silence, never neutral."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.errors import DuetError
from core.live.smoothing import Steady
from core.media import SAMPLE_RATE, Recording
from core.models import Model, probabilities
from core.results import Prediction
from core.voice import (
    MIN_WINDOW_SPEECH_SECONDS,
    WINDOW_SECONDS,
    find_speech,
    gather_evidence,
)

__all__ = ["HOP_SECONDS", "WINDOW_SECONDS", "Heard", "Listener", "level_dbfs", "listen"]

HOP_SECONDS = 0.25
"""From one window to the next: a new tone waits half of it on average."""

PAUSE_SECONDS = 0.8
"""When the last word is longer ago than this, nobody speaks now, and the next words start anew."""

HALF_LIFE_SECONDS = 0.7
"""What was said this long before the end of the window has half a say: the answer is about now."""

# A tone rarely changes within a phrase. So what was said before the last short pause hardly counts
# once there is enough after it to judge by, and a label gives way easily in a fresh phrase and
# hardly later. The network sees 1.7 s to either side of a step, so a fresh phrase goes through it
# alone: it would hear the old tone in it. On pairs of clips of validation speakers (`python -m core
# bench --tones validation`) 59% of new tones are named within a second and half of them after 0.86
# s, at 27 changes of the label a minute in one tone, which is right in 56% of the windows. The
# choices below were made with the model before, where it was 62%, 0.90 s, 19 and 57%. With what was
# said before in sight it was 45%, 1.15 s, 14 changes and 59%; with every phrase alone that
# counts by itself, not only fresh ones, 62%, 0.90 s, 20 and 56%, and from 0.55 s on 64%, 0.87 s, 25
# and 54%. The rest was chosen with a voice model before: 49%, 1.02 s, 17 changes and 56%. Counting
# phrases by themselves from 0.8 s on and calling them fresh until 1.6 s gave 43%, 1.10 s and 18
# changes there, and with `LEAD` 0.15 as well 44%, 1.09 s and 24; `EARLIER_SHARE` 0.02 gave 48%,
# 1.04 s and 21. Of some 95 pairs that count, a few points are chance: the changes decided. With a
# still earlier model, windows twice as far apart, weighted by the half-life alone, named a tone 0.6
# s later.

PHRASE_SECONDS = 0.7
"""A phrase at least this long counts by itself."""

EARLIER_SHARE = 0.05
"""Of its say that an earlier phrase keeps."""

FRESH_SECONDS = 1.2
"""Until a phrase is this long, its tone may turn out to be a new one."""

FRESH_MARGIN_SECONDS = 0.25
"""Of the pause before a fresh phrase, what the network hears of it at most."""

FRESH_LEAD, LEAD = 0.05, 0.25
"""Probability by which another label has to lead, in a fresh phrase and later."""

LEVEL_SECONDS = 0.3
QUIETEST_DBFS = -90.0

Phrase = tuple[float, float]
"""Start and end of a stretch of speech without a pause, in seconds."""

State = Literal["silence", "sound", "speech"]
"""`sound`: something is heard, but nobody speaks."""


@dataclass(frozen=True)
class Heard:
    """What was heard in one window."""

    state: State
    emotion: Prediction | None = None
    """None unless somebody speaks, and has for long enough."""
    speech: tuple[tuple[float, float], ...] = ()
    """(start, end) of each phrase in seconds before the window's end (negative)."""

    @property
    def fresh(self) -> bool:
        """Whether the last phrase has just become long enough to count by itself."""
        if not self.speech:
            return False
        return _fresh(self.speech[-1])


def _fresh(phrase: Phrase) -> bool:
    return PHRASE_SECONDS <= phrase[1] - phrase[0] < FRESH_SECONDS


def listen(samples: NDArray[np.float32], model: Model) -> Heard:
    """Find speech in a window and name its emotion, by the functions of `core.voice`.

    Parameters
    ----------
    samples : float32 (n,) at 16 kHz, `WINDOW_SECONDS` of it or less at the start.
    """
    length = len(samples) / SAMPLE_RATE
    try:
        phrases = find_speech(Recording("live", samples, SAMPLE_RATE, 1, 0.0))
    except DuetError as error:
        return Heard("sound" if error.code == "no_speech" else "silence")
    if length - phrases[-1][1] > PAUSE_SECONDS:
        return Heard("silence")
    recent = _since_silence(phrases)
    speech = tuple((start - length, end - length) for start, end in recent)
    if sum(end - start for start, end in recent) < MIN_WINDOW_SPEECH_SECONDS:
        return Heard("speech", None, speech)
    return Heard("speech", _emotion(samples, phrases, recent, model), speech)


def _since_silence(phrases: list[Phrase]) -> list[Phrase]:
    """Those after the last silence, in which what was said before has been forgotten."""
    for index in range(len(phrases) - 1, 0, -1):
        if phrases[index][0] - phrases[index - 1][1] > PAUSE_SECONDS:
            return phrases[index:]
    return phrases


def _emotion(
    samples: NDArray[np.float32], phrases: list[Phrase], recent: list[Phrase], model: Model
) -> Prediction:
    """As `core.voice` answers, attention weighted by how recent each step is."""
    if _fresh(recent[-1]) and len(phrases) > 1:
        samples, phrases = _alone(samples, phrases)
        recent = phrases
    evidence = gather_evidence(samples, phrases, model)
    age = len(samples) / SAMPLE_RATE - evidence.times
    say = 0.5 ** (age / HALF_LIFE_SECONDS)
    start, end = recent[-1]
    if end - start >= PHRASE_SECONDS:
        say[evidence.times < start] *= EARLIER_SHARE
    if len(recent) < len(phrases):
        say[evidence.times < recent[0][0]] = 0
    weights = evidence.overall_attention() * say[:, np.newaxis]
    weights /= weights.sum(axis=0, keepdims=True)
    return Prediction(tuple(float(p) for p in probabilities(evidence.logits(weights))))


def _alone(
    samples: NDArray[np.float32], phrases: list[Phrase]
) -> tuple[NDArray[np.float32], list[Phrase]]:
    """The sound from shortly before the last phrase on, and that phrase in it."""
    start, end = phrases[-1]
    first = round(max(phrases[-2][1], start - FRESH_MARGIN_SECONDS) * SAMPLE_RATE)
    return samples[first:], [(start - first / SAMPLE_RATE, end - first / SAMPLE_RATE)]


class Listener:
    """Names the tone of window after window."""

    def __init__(self) -> None:
        self._steady = Steady()

    def update(self, samples: NDArray[np.float32], model: Model) -> tuple[Heard, str | None]:
        """What is heard in the newest window, as by `listen`, and the label to show for it."""
        heard = listen(samples, model)
        if heard.emotion is None:
            self.forget()
            return heard, None
        self._steady.lead = FRESH_LEAD if heard.fresh else LEAD
        return heard, self._steady.update(heard.emotion)

    def forget(self) -> None:
        """Start anew: the next label is taken at once."""
        self._steady.forget()


def level_dbfs(samples: NDArray[np.float32]) -> float:
    """Level in dB below full scale of the last `LEVEL_SECONDS`, for a meter."""
    recent = samples[-round(LEVEL_SECONDS * SAMPLE_RATE) :]
    if not len(recent):
        return QUIETEST_DBFS
    power = float(np.var(recent, dtype=np.float64))
    return max(QUIETEST_DBFS, 10 * float(np.log10(max(power, 1e-12))))
