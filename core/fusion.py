"""One face and one voice: where they agree, and what they say together.

Each side's probabilities are first tempered by what its model is known to confuse: from the
confusion matrix on validation data follows how often each emotion was meant when the model gave
each answer, and the side's belief is a blend of its own probabilities and of that. The two
beliefs are then joined by a weighted product (logarithmic opinion pool), the weight of a side
growing with its certainty: one minus its entropy over that of seven equally likely emotions.

`python -m training fusion` fits the few numbers of the rule on validation pairs, compares it on
test pairs with averaging and with each side alone, and writes `models/fusion.json`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import DuetError
from core.labels import EMOTIONS, TONE
from core.models import MODELS_FOLDER, ModelInfo
from core.results import Agreement, FaceResult, HybridResult, Prediction, VoiceResult

Probabilities = NDArray[np.float64]

METHODS = ("average", "product", "certainty", "certainty+confusion")
"""Rules that can be chosen; `models/fusion.json` names the one that did best when held out."""


LARGEST = 10.0
"""Of a rule's exponents and its sharpness; what is fitted lies below 2."""


@dataclass(frozen=True)
class FusionRule:
    """The numbers of the rule.

    method : one of `METHODS`. face, voice : exponents of the two sides. confusion : share, 0 to
    1, of the belief that comes from the confusion matrix. sharpness : how much certainty counts;
    0 weighs certain and uncertain answers alike.
    """

    method: str = "product"
    face: float = 1.0
    voice: float = 1.0
    confusion: float = 0.0
    sharpness: float = 0.0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"unknown fusion method {self.method!r}")
        for name in ("face", "voice", "confusion", "sharpness"):
            value = getattr(self, name)
            if not 0 <= value <= (1 if name == "confusion" else LARGEST):  # not of NaN either
                raise ValueError(f"{name} is {value!r}")


@lru_cache(maxsize=4)
def fusion_rule(folder: Path = MODELS_FOLDER) -> FusionRule:
    """The rule in `fusion.json`, or a plain product where there is none.

    Raises
    ------
    DuetError
        `damaged_model` when the file is there but not usable.
    """
    path = folder / "fusion.json"
    try:
        return FusionRule(**json.loads(path.read_text())["rule"])
    except FileNotFoundError:
        return FusionRule()
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise DuetError(
            "damaged_model", f"{path} is not a fusion rule; restore the file or remove it."
        ) from None


def meant_given_answer(confusion_matrix: Any) -> Probabilities:
    """P(emotion meant | answer), (7, 7): row is the answer, column the emotion.

    Parameters
    ----------
    confusion_matrix : counts (7, 7), row true emotion, column answer. Rows are first brought to
        equal sums, so that the emotions count alike however rare they are, and one is added to
        every cell's hundred (Laplace), so that nothing is impossible.
    """
    counts = np.asarray(confusion_matrix, np.float64)
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) + 1
    return (shares / shares.sum(axis=0, keepdims=True)).T


def certainty(p: Probabilities) -> Probabilities:
    """1 - entropy / log 7 over the last axis: 0 for seven equal probabilities, 1 for one of 1."""
    entropy = -np.sum(p * np.log(np.maximum(p, 1e-12)), axis=-1)
    return np.clip(1 - entropy / np.log(p.shape[-1]), 0.0, 1.0)


def join(
    face: Probabilities,
    voice: Probabilities,
    rule: FusionRule,
    face_meant: Probabilities | None = None,
    voice_meant: Probabilities | None = None,
) -> tuple[Probabilities, Probabilities]:
    """Fuse probabilities (..., 7) of a face and a voice.

    Parameters
    ----------
    face_meant, voice_meant : (7, 7) from `meant_given_answer`; None where it is not known.

    Returns
    -------
    fused : (..., 7), sums to 1. weight : (...,), the face's part in it, 0 to 1; the voice's is
        the rest.
    """
    if rule.method == "average":
        fused = (face + voice) / 2
        return fused, np.full(fused.shape[:-1], 0.5)
    face_power, voice_power = (
        exponent * (0.05 + certainty(p)) ** rule.sharpness
        for exponent, p in ((rule.face, face), (rule.voice, voice))
    )
    logs = face_power[..., np.newaxis] * np.log(_belief(face, face_meant, rule.confusion))
    logs = logs + voice_power[..., np.newaxis] * np.log(_belief(voice, voice_meant, rule.confusion))
    fused = np.exp(logs - logs.max(axis=-1, keepdims=True))
    fused /= fused.sum(axis=-1, keepdims=True)
    return fused, face_power / np.maximum(face_power + voice_power, 1e-12)


def _belief(p: Probabilities, meant: Probabilities | None, share: float) -> Probabilities:
    belief = p if meant is None else (1 - share) * p + share * (p @ meant)
    return np.maximum(belief, 1e-6)


def agreement(face: str, voice: str) -> Agreement:
    """Of two labels.

    `exact`: the same emotion; `tone`: the same tone (surprise goes with any); else `none`.
    """
    if face == voice:
        return "exact"
    tones = {TONE[face], TONE[voice]}
    return "tone" if len(tones) == 1 or "either" in tones else "none"


class Said(Protocol):
    """What is shown of one side."""

    @property
    def label(self) -> str: ...

    @property
    def unsure(self) -> bool: ...


def agreement_sentence(face: Said, voice: Said) -> str:
    """How a face and a voice agree, in a sentence for people; never more certain than they are."""
    kind = agreement(face.label, voice.label)
    sides = f"Face and voice {'may ' if face.unsure or voice.unsure else ''}"
    if kind == "exact":
        return f"{sides}agree: {_both(face, voice)}."
    if kind == "none":
        return f"{sides}disagree: {_each(face, voice)}."
    if "surprise" in (face.label, voice.label):
        shared = "surprise goes with either feeling"
    else:
        shared = f"both feelings are {TONE[face.label]}"
    return f"{sides}agree in tone only: {_each(face, voice)}; {shared}."


def _both(face: Said, voice: Said) -> str:
    word = _adjective(face.label)
    if face.unsure == voice.unsure:
        return f"both {'may be' if face.unsure else 'seem'} {word}"
    sure, other = ("voice", "face") if face.unsure else ("face", "voice")
    return f"the {sure} seems {word}, and the {other} may be too"


def _each(face: Said, voice: Said) -> str:
    one, other = ("may be" if said.unsure else "seems" for said in (face, voice))
    verb = "" if one == other else f"{other} "
    return f"the face {one} {_adjective(face.label)}, the voice {verb}{_adjective(voice.label)}"


_ADJECTIVES = {"disgust": "disgusted", "fear": "fearful", "surprise": "surprised"}


def _adjective(label: str) -> str:
    return _ADJECTIVES.get(label, label)


@dataclass(frozen=True)
class Together:
    """What two predictions say as one; the parts of a `HybridResult` that need no media."""

    agreement: Agreement
    sentence: str
    fused: Prediction
    weights: dict[str, float]
    """`face` and `voice`, summing to 1."""
    method: str


def together(
    face: Prediction,
    voice: Prediction,
    face_info: ModelInfo | None = None,
    voice_info: ModelInfo | None = None,
    rule: FusionRule | None = None,
    shown: tuple[Said, Said] | None = None,
) -> Together:
    """Compare and join two predictions; parameters as `fuse`.

    Parameters
    ----------
    shown : what is shown of face and voice, where that is not the most probable of each;
        agreement is said of it.
    """
    rule = rule or fusion_rule()
    one, other = shown or (face, voice)
    fused, weight = join(
        np.array(face.probabilities),
        np.array(voice.probabilities),
        rule,
        _known_confusions(face_info),
        _known_confusions(voice_info),
    )
    return Together(
        agreement=agreement(one.label, other.label),
        sentence=agreement_sentence(one, other),
        fused=Prediction(tuple(float(p) for p in fused)),
        weights={"face": float(weight), "voice": 1 - float(weight)},
        method=rule.method,
    )


def fuse(
    face: FaceResult,
    voice: VoiceResult,
    face_info: ModelInfo | None = None,
    voice_info: ModelInfo | None = None,
    rule: FusionRule | None = None,
) -> HybridResult:
    """Both of the paper's integrations: the two answers apart, and compared and joined.

    Parameters
    ----------
    face_info, voice_info : the models that answered; their validation confusion matrices are
        used when the rule asks for them.
    """
    joined = together(face.emotion, voice.emotion, face_info, voice_info, rule)
    return HybridResult(face=face, voice=voice, **vars(joined))


def _known_confusions(info: ModelInfo | None) -> Probabilities | None:
    if info is None:
        return None
    try:
        matrix = info.evaluation["splits"]["validation"]["confusion_matrix"]
        counts = np.asarray(matrix, np.float64)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return meant_given_answer(counts) if counts.shape == (len(EMOTIONS),) * 2 else None
