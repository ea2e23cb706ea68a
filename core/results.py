"""What an analysis returns: frozen dataclasses shared by pages, command line and exports.

Pixel coordinates are (x, y) from the top left corner of the analysed picture: upright (EXIF
orientation applied) and, where the file is larger than `WORKING_IMAGE_SIDE`, reduced to it. Times
are seconds from the start of the recording.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.labels import EMOTIONS

UNSURE_BELOW = 0.5
"""A calibrated probability below this is called unsure: it is wrong at least half the time."""

Agreement = Literal["exact", "tone", "none"]
Point = tuple[float, float]


@dataclass(frozen=True)
class Prediction:
    """Seven calibrated probabilities, in the order of `core.labels.EMOTIONS`."""

    probabilities: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.probabilities) != len(EMOTIONS):
            raise ValueError(f"expected {len(EMOTIONS)} probabilities")
        if not all(math.isfinite(p) and p >= 0 for p in self.probabilities):
            raise ValueError("probabilities must be finite and not negative")
        if abs(sum(self.probabilities) - 1) > 1e-3:
            raise ValueError(f"probabilities sum to {sum(self.probabilities)}, not to 1")

    @property
    def ranked(self) -> list[tuple[str, float]]:
        """(emotion, probability), most probable first."""
        pairs = zip(EMOTIONS, self.probabilities, strict=True)
        return sorted(pairs, key=lambda pair: -pair[1])

    @property
    def label(self) -> str:
        return self.ranked[0][0]

    @property
    def confidence(self) -> float:
        """Probability of `label`."""
        return self.ranked[0][1]

    @property
    def unsure(self) -> bool:
        return self.confidence < UNSURE_BELOW

    def to_dict(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "confidence": round(self.confidence, 4),
            "unsure": self.unsure,
            "probabilities": {
                name: round(p, 4) for name, p in zip(EMOTIONS, self.probabilities, strict=True)
            },
        }


@dataclass(frozen=True)
class QualityNote:
    """Something about the input that makes the answer less trustworthy."""

    code: str
    message: str

    def to_dict(self) -> dict[str, str]:
        return {"code": self.code, "message": self.message}


@dataclass(frozen=True)
class Box:
    """Upright rectangle in pixels of the analysed picture; may reach beyond it."""

    x: float
    y: float
    width: float
    height: float

    def to_dict(self) -> dict[str, float]:
        return {
            "x": round(self.x, 1),
            "y": round(self.y, 1),
            "width": round(self.width, 1),
            "height": round(self.height, 1),
        }


@dataclass(frozen=True)
class Landmarks:
    """Five points in pixels of the analysed picture; right and left are the person's own."""

    right_eye: Point
    left_eye: Point
    nose: Point
    mouth_right: Point
    mouth_left: Point

    def to_dict(self) -> dict[str, list[float]]:
        return {name: [round(v, 1) for v in point] for name, point in vars(self).items()}


@dataclass(frozen=True)
class FaceResult:
    """One face: where it is, what it seems to show and which part of it said so."""

    box: Box
    landmarks: Landmarks | None
    """None when the picture was given as an already cropped face."""
    detection_score: float
    """0 to 1, the detector's own; 1 for a face given as cropped."""
    emotion: Prediction
    quality: tuple[QualityNote, ...]
    framed: NDArray[np.uint8] = field(repr=False, compare=False)
    """(48, 48): the face as the model saw it."""
    evidence: NDArray[np.float32] = field(repr=False, compare=False)
    """(rows, columns, 7): what each place of `framed` added to each emotion's logit, relative to
    the mean over the seven emotions. Its mean over places is the logit (so centred). One place
    where the model looks at the face as a whole."""
    to_frame: NDArray[np.float64] = field(repr=False, compare=False)
    """(2, 3): similarity transform from pixels of the analysed picture to those of `framed`."""

    @property
    def has_map(self) -> bool:
        """Whether the evidence tells places of the face apart."""
        return self.evidence[..., 0].size > 1

    def attention(self, emotion: str | None = None) -> NDArray[np.float32]:
        """Evidence for `emotion` (the predicted one by default), (rows, columns), signed."""
        return self.evidence[..., EMOTIONS.index(emotion or self.emotion.label)]

    def to_dict(self) -> dict[str, Any]:
        return {
            "box": self.box.to_dict(),
            "landmarks": self.landmarks.to_dict() if self.landmarks else None,
            "detection_score": round(self.detection_score, 4),
            "emotion": self.emotion.to_dict(),
            "quality": [note.to_dict() for note in self.quality],
            "attention": np.round(self.attention(), 3).tolist(),
        }


@dataclass(frozen=True)
class ImageResult:
    """All faces of one picture, largest first.

    Boxes and landmarks lie in the analysed picture, `width` x `height`. Multiplied by
    `original_width / width` they are pixels of the file.
    """

    source: str
    width: int
    """Pixels of the analysed picture."""
    height: int
    detector: str
    """`yunet`, `mtcnn` or `cropped`."""
    model: str
    faces: tuple[FaceResult, ...]
    milliseconds: dict[str, float]
    """Stage -> wall time: decode, detect, classify, total."""
    original_width: int = 0
    """Pixels of the file's own picture, upright; 0 where that is not known."""
    original_height: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": "image",
            **self.about(),
            "faces": [face.to_dict() for face in self.faces],
            "milliseconds": {k: round(v, 2) for k, v in self.milliseconds.items()},
        }

    def about(self) -> dict[str, Any]:
        """The picture without its faces: part of `to_dict`."""
        return {
            "source": self.source,
            "width": self.width,
            "height": self.height,
            "original_width": self.original_width,
            "original_height": self.original_height,
            "detector": self.detector,
            "model": self.model,
        }


@dataclass(frozen=True)
class TimelinePoint:
    """The emotion heard in a window of speech."""

    start: float
    end: float
    emotion: Prediction | None
    """None where the window holds no speech."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "start": round(self.start, 3),
            "end": round(self.end, 3),
            "emotion": self.emotion.to_dict() if self.emotion else None,
        }


@dataclass(frozen=True)
class Moment:
    """A stretch of speech and how much of the answer it carried."""

    start: float
    end: float
    share: float
    """Part of the model's attention that fell on it, 0 to 1."""
    contribution: float
    """What it added to the predicted emotion's logit (relative to the mean emotion)."""

    def to_dict(self) -> dict[str, float]:
        return {name: round(value, 3) for name, value in vars(self).items()}


@dataclass(frozen=True)
class VoiceResult:
    """One recording: what the speech in it sounds like, overall and over time."""

    source: str
    duration: float
    speech: tuple[tuple[float, float], ...]
    """(start, end) of each stretch of speech."""
    model: str
    emotion: Prediction
    timeline: tuple[TimelinePoint, ...]
    """A 3 s window every 0.5 s; one point for shorter recordings."""
    moments: tuple[Moment, ...]
    """The stretches of 0.25 s or more that carried the answer, most important first."""
    quality: tuple[QualityNote, ...]
    attention_times: NDArray[np.float32] = field(repr=False, compare=False)
    """(n,): middle of each step of `attention`, seconds."""
    attention: NDArray[np.float32] = field(repr=False, compare=False)
    """(n,): the model's attention at each step, sums to 1."""
    milliseconds: dict[str, float] = field(default_factory=dict)

    @property
    def speech_seconds(self) -> float:
        return sum(end - start for start, end in self.speech)

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": "voice",
            "source": self.source,
            "duration": round(self.duration, 3),
            "speech": [[round(a, 3), round(b, 3)] for a, b in self.speech],
            "speech_seconds": round(self.speech_seconds, 3),
            "model": self.model,
            "emotion": self.emotion.to_dict(),
            "timeline": [point.to_dict() for point in self.timeline],
            "moments": [moment.to_dict() for moment in self.moments],
            "quality": [note.to_dict() for note in self.quality],
            "milliseconds": {k: round(v, 2) for k, v in self.milliseconds.items()},
        }


@dataclass(frozen=True)
class HybridResult:
    """One face and one voice, taken apart (simple) and together (hybrid)."""

    face: FaceResult
    voice: VoiceResult
    agreement: Agreement
    """`exact`: same emotion; `tone`: both positive, negative or neutral; `none`."""
    sentence: str
    """The agreement in words."""
    fused: Prediction
    weights: dict[str, float]
    """`face` and `voice`: how much each side moved the fused answer, sums to 1."""
    method: str
    """Name of the fusion rule."""
    picture: ImageResult | None = field(default=None, repr=False, compare=False)
    """What `face` is one of; None where only the face was given."""
    number: int | None = field(default=None, compare=False)
    """Of the face in its picture, from 1 (`picture.faces[number - 1]`); None without picture."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": "hybrid",
            "picture": self._picture(),
            "face": self.face.to_dict(),
            "voice": self.voice.to_dict(),
            "agreement": self.agreement,
            "sentence": self.sentence,
            "fused": self.fused.to_dict(),
            "weights": {k: round(v, 3) for k, v in self.weights.items()},
            "method": self.method,
        }

    def _picture(self) -> dict[str, Any] | None:
        """The picture, how many faces it has, and which of them it is."""
        if self.picture is None:
            return None
        return {
            **self.picture.about(),
            "faces": len(self.picture.faces),
            "number": self.number,
        }


Result = ImageResult | VoiceResult
