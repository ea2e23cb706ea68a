"""Results as files to keep: JSON as the library gives it, CSV as one row a face or a window."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from core.labels import EMOTIONS
from core.live.journal import Journal
from core.results import HybridResult, ImageResult, Prediction, VoiceResult


def as_json(results: Iterable[Any]) -> str:
    """One object for one result, a list for several; each from its `to_dict`."""
    objects = [result.to_dict() for result in results]
    return json.dumps(objects[0] if len(objects) == 1 else objects, indent=2, ensure_ascii=False)


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows of the same columns as CSV."""
    rows = list(rows)
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()


def _emotion(emotion: Prediction) -> dict[str, Any]:
    return {
        "label": emotion.label,
        "confidence": round(emotion.confidence, 4),
        "unsure": emotion.unsure,
        **{name: round(p, 4) for name, p in zip(EMOTIONS, emotion.probabilities, strict=True)},
    }


def faces_csv(results: Iterable[ImageResult]) -> str:
    """One row a face; its box lies in the analysed picture, `width` x `height`."""
    return table(
        {
            "source": result.source,
            "face": number,
            **_emotion(face.emotion),
            **{f"box_{name}": value for name, value in face.box.to_dict().items()},
            "width": result.width,
            "height": result.height,
            "original_width": result.original_width,
            "original_height": result.original_height,
            "detection_score": round(face.detection_score, 4),
            "quality": " ".join(note.code for note in face.quality),
            "detector": result.detector,
            "model": result.model,
        }
        for result in results
        for number, face in enumerate(result.faces, 1)
    )


def voices_csv(results: Iterable[VoiceResult]) -> str:
    """One row for each whole recording, then one for each window of its timeline with speech."""
    rows = []
    for result in results:
        whole = (0.0, result.duration, "whole", result.emotion)
        windows = [(p.start, p.end, "window", p.emotion) for p in result.timeline if p.emotion]
        for start, end, part, emotion in [whole, *windows]:
            rows.append(
                {
                    "source": result.source,
                    "part": part,
                    "start_s": round(start, 3),
                    "end_s": round(end, 3),
                    **_emotion(emotion),
                    "model": result.model,
                }
            )
    return table(rows)


def hybrid_csv(result: HybridResult) -> str:
    """Three rows: the face, the voice and both together."""
    picture, voice = result.picture, result.voice
    seen = (picture.source, picture.model) if picture else ("", "")
    heard = (voice.source, voice.model)
    both = [" + ".join(filter(None, pair)) for pair in zip(seen, heard, strict=True)]
    sides: list[tuple[str, Prediction, int | str, Sequence[str]]] = [
        ("face", result.face.emotion, result.number or "", seen),
        ("voice", voice.emotion, "", heard),
        ("together", result.fused, result.number or "", both),
    ]
    return table(
        {
            "side": side,
            "source": source,
            "face": number,
            **_emotion(emotion),
            "weight": round(result.weights[side], 3) if side in result.weights else "",
            "agreement": result.agreement,
            "method": result.method,
            "model": model,
        }
        for side, emotion, number, (source, model) in sides
    )


def live_csv(journal: Journal) -> str:
    """One row for each side of each half second of a live session, then one for each event."""
    return table(journal.rows())


def live_json(journal: Journal) -> str:
    """All of a live session."""
    return json.dumps(journal.to_dict(), indent=2, ensure_ascii=False)


def file_name(source: str, ending: str) -> str:
    """A safe name for a download made from `source`."""
    stem = re.sub(r"[^\w.-]+", "-", source.rsplit(".", 1)[0]).strip("-.") or "result"
    return f"duet-{stem[:60]}.{ending}"
