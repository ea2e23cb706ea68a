"""Duet's library: pictures and recordings in, emotions out.

>>> import core
>>> core.analyze("portrait.jpg").faces[0].emotion.label  # doctest: +SKIP
'happy'
"""

from core.analysis import analyze, analyze_pair, fuse
from core.errors import DuetError
from core.labels import EMOTIONS
from core.results import (
    FaceResult,
    HybridResult,
    ImageResult,
    Prediction,
    VoiceResult,
)

__all__ = [
    "EMOTIONS",
    "DuetError",
    "FaceResult",
    "HybridResult",
    "ImageResult",
    "Prediction",
    "VoiceResult",
    "analyze",
    "analyze_pair",
    "fuse",
]

# glibc maps an array of some 100 kB anew each time, page by page, until it has freed a larger one.
# To have freed one (nothing of which is touched) takes 40% off the time for a recording here.
bytes(2**24 - 2**16)
