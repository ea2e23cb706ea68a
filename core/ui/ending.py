"""The end of a page that takes several files: all answers at a glance, downloads, forgetting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from core.results import ImageResult, Prediction, VoiceResult
from core.ui import cards, exports, inputs, keep
from core.ui.engine import Trouble
from core.ui.keep import Media

R = TypeVar("R", ImageResult, VoiceResult)


def show(
    shelf: str,
    what: str,
    answers: Sequence[tuple[Media, R | Trouble]],
    emotions: Callable[[R], Sequence[Prediction]],
    table: Callable[[Sequence[R]], str],
) -> None:
    """Draw it.

    Parameters
    ----------
    what : what lies on the shelf, in the singular.
    answers : of those media of the shelf that are analysed already.
    emotions : what one result found. table : the results as CSV.
    """
    if len(answers) > 1:
        rows = [
            (keep.title(shelf, media), [] if isinstance(result, Trouble) else emotions(result))
            for media, result in answers
        ]
        cards.overview(rows, f"{shelf}_overview")
    results = [result for _, result in answers if not isinstance(result, Trouble)]
    if results:
        source = results[0].source if len(results) == 1 else f"{shelf}s"
        cards.downloads(
            exports.as_json(results),
            table(results),
            (exports.file_name(source, "json"), exports.file_name(source, "csv")),
            shelf,
        )
    inputs.forget(shelf, what)
