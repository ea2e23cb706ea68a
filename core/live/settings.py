"""What a viewer can choose while Duet looks and listens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.results import UNSURE_BELOW

Mode = Literal["face", "voice", "hybrid"]

SMOOTHING_SECONDS = 0.2
"""Time constant of the smoothing over a face's probabilities: after this long, 63% of a change
has arrived. A clear change takes the label after about 0.8 of it."""


@dataclass(frozen=True)
class Settings:
    """Replaced as a whole, so that threads never see half a change.

    smoothing : time constant in seconds; 0 for none. threshold : a label with less probability
    is marked as unsure. speaker : number of the face that the voice belongs to; None for the
    largest one. face_model, voice_model : names; None for the defaults.
    """

    mode: Mode = "hybrid"
    mirror: bool = True
    overlay: bool = True
    smoothing: float = SMOOTHING_SECONDS
    threshold: float = UNSURE_BELOW
    speaker: int | None = None
    face_model: str | None = None
    voice_model: str | None = None

    @property
    def sees(self) -> bool:
        return self.mode != "voice"

    @property
    def hears(self) -> bool:
        return self.mode != "face"
