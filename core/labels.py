"""The seven emotions, their one order and the tone of each."""

from __future__ import annotations

from typing import Literal

EMOTIONS: tuple[str, ...] = (
    "angry",
    "disgust",
    "fear",
    "happy",
    "neutral",
    "sad",
    "surprise",
)
"""Every probability vector and confusion matrix in Duet follows this order."""

INDEX: dict[str, int] = {name: i for i, name in enumerate(EMOTIONS)}

Tone = Literal["positive", "negative", "neutral", "either"]

TONE: dict[str, Tone] = {
    "angry": "negative",
    "disgust": "negative",
    "fear": "negative",
    "happy": "positive",
    "neutral": "neutral",
    "sad": "negative",
    "surprise": "either",
}
"""Surprise can be pleasant or not, so it agrees in tone with any other emotion."""
