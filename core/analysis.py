"""The single entrance: any supported file in, a result out."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from core import fusion, media
from core.errors import DuetError
from core.models import ModelInfo, Task, find, load
from core.results import HybridResult, ImageResult, Result, VoiceResult

Source = str | Path | bytes
Faces = Literal["detect", "cropped"]


def analyze(
    source: Source,
    *,
    name: str | None = None,
    face_model: str | None = None,
    voice_model: str | None = None,
    faces: Faces = "detect",
) -> Result:
    """Name the emotions of every face in a picture, or of the speech in a recording.

    Parameters
    ----------
    source : path of a file, or its content.
    name : what to call it in the result and in messages; the file's name by default.
    face_model, voice_model : names of installed models; the defaults when None.
    faces : `detect` to look for faces, `cropped` when the picture is one framed face already.

    Returns
    -------
    `ImageResult` or `VoiceResult`, by the file's content.

    Raises
    ------
    DuetError
        With a code and a sentence, for anything that cannot be analysed.
    TypeError, ValueError
        When `source` or `faces` is nothing of the above.
    """
    started = time.perf_counter()
    if faces not in get_args(Faces):
        raise ValueError(f"faces must be 'detect' or 'cropped', not {faces!r}")
    data, shown = media.read(source, name)
    result: Result
    if media.sniff(data, shown) == "image":
        result = _image(data, shown, face_model, faces)
    else:
        result = _voice(data, shown, voice_model)
    return _timed(result, started)


def analyze_pair(
    picture: Source,
    recording: Source,
    *,
    picture_name: str | None = None,
    recording_name: str | None = None,
    face_model: str | None = None,
    voice_model: str | None = None,
    faces: Faces = "detect",
) -> HybridResult:
    """Analyse one picture and one recording and fuse the largest face with the voice.

    Raises
    ------
    DuetError
        As `analyze`; `unsupported` when the two are not a picture and a recording.
    """
    image = analyze(picture, name=picture_name, face_model=face_model, faces=faces)
    if not isinstance(image, ImageResult):
        raise DuetError("unsupported", f"{image.source} is a recording; a picture is needed.")
    voice = analyze(recording, name=recording_name, voice_model=voice_model)
    if not isinstance(voice, VoiceResult):
        raise DuetError("unsupported", f"{voice.source} is a picture; a recording is needed.")
    return fuse(image, voice)


def fuse(image: ImageResult, voice: VoiceResult, face: int = 0) -> HybridResult:
    """Fuse one face of a picture with a recording.

    Parameters
    ----------
    face : index into `image.faces`, the largest by default; -1 is the smallest.

    Raises
    ------
    IndexError
        When the picture has no such face.
    """
    which = range(len(image.faces))[face]
    result = fusion.fuse(
        image.faces[which],
        voice,
        face_info=_known("face", image.model),
        voice_info=_known("voice", voice.model),
    )
    return replace(result, picture=image, number=which + 1)


def _known(task: Task, name: str) -> ModelInfo | None:
    try:
        return find(task, name)
    except DuetError:  # a result made with a model that has since been removed
        return None


def _image(data: bytes, name: str, model_name: str | None, faces: Faces) -> ImageResult:
    from core.face import analyze_faces

    model = load(find("face", model_name))
    started = time.perf_counter()
    picture = media.decode_image(data, name)
    decoded = (time.perf_counter() - started) * 1e3
    result = analyze_faces(picture, model, faces=faces)
    return replace(result, milliseconds={"decode": decoded, **result.milliseconds})


def _voice(data: bytes, name: str, model_name: str | None) -> VoiceResult:
    from core.voice import analyze_voice

    model = load(find("voice", model_name))
    started = time.perf_counter()
    recording = media.decode_audio(data, name)
    decoded = (time.perf_counter() - started) * 1e3
    result = analyze_voice(recording, model)
    return replace(result, milliseconds={"decode": decoded, **result.milliseconds})


def _timed(result: Result, started: float) -> Result:
    total = (time.perf_counter() - started) * 1e3
    return replace(result, milliseconds={**result.milliseconds, "total": total})
