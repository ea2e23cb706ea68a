"""What can be wrong with an input, each with a stable code and one sentence for people."""

from __future__ import annotations

from typing import Literal, get_args

Code = Literal[
    "not_found",  # no such file
    "empty",  # zero bytes
    "file_too_large",
    "unsupported",  # neither a picture nor a recording that Duet reads
    "damaged",  # looks like one, but does not decode
    "too_many_pixels",
    "too_few_pixels",
    "no_face",
    "no_audio",  # a container without an audio stream
    "too_short",
    "too_long",
    "silent",
    "no_speech",
    "unknown_model",
    "damaged_model",
    "no_detector",
    "busy",  # something is at work that runs one at a time
    "internal",  # a defect of ours; the message says so
]

CODES: tuple[str, ...] = get_args(Code)


class DuetError(Exception):
    """An input, or an installation, that cannot be used.

    Attributes
    ----------
    code : one of `CODES`; stable across releases.
    message : one sentence that says what is wrong and what to do.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code: Code = code
        self.message = message

    def __reduce__(self) -> tuple[type[DuetError], tuple[Code, str]]:
        # As an exception it would be made anew from its message alone, and a process that waits
        # for one would never get it.
        return type(self), (self.code, self.message)

    def to_dict(self) -> dict[str, str]:
        return {"code": self.code, "message": self.message}
