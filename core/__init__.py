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


def _keep_freed_memory() -> None:
    """Have glibc keep the memory of arrays of up to 16 MB for the next ones.

    From 128 kB on it maps each anew, page by page, until a larger one has been freed. To allocate
    and free one here (nothing of it is touched) takes 40% off the time for a recording in a young
    process. Up to twice its size may stay unused at the end of a heap. Elsewhere it does nothing.
    """
    bytes(2**24 - 2**16)  # with what glibc adds, not above 16 MB


_keep_freed_memory()
