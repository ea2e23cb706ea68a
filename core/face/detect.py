"""Find faces: YuNet where its file can be had, MTCNN otherwise."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from core.errors import DuetError
from core.face.framing import is_usable
from core.face.mtcnn import Mtcnn, WeightsMissingError
from core.results import Box, Landmarks

YUNET_FILE = "face_detection_yunet_2023mar.onnx"
YUNET_BYTES = 232_589
YUNET_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
YUNET_URL = (
    f"https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/{YUNET_FILE}"
)
FETCH_SECONDS, STALL_SECONDS = 10.0, 4.0
"""For all of the file, and for the next part of it: where a network swallows what it is asked,
nobody is to wait for long."""
CHOICE = "DUET_DETECTOR"
"""Variable that may ask for MTCNN."""

LEAST_SCORE = 0.6
"""YuNet's; faces found with less are left out. Doubtful ones above it carry a note."""

OVERLAP = 0.3
"""Boxes that share more than this (intersection over union) are one face."""

SMALLEST_SIDE, WORKING_SIDE, LARGEST_SIDE = 320, 480, 1280
"""Longer side, in pixels, of what the detectors see. YuNet finds faces of about 10 to 300 px:
smaller pictures are enlarged, larger ones reduced to `WORKING_SIDE`. A second look, at up to
`LARGEST_SIDE`, is for what the first is too coarse for: in pictures that had to be halved at least,
and in others where it showed no face, or only `CROWD_FACE` px ones."""

CROWD_FACE = 40
"""Pixels in the first look. Of smaller faces the second one's are taken; where all are this small,
others may have been too small to be found."""

PADDING = 0.5
"""Border added on every side, relative to the longer one, when a face may fill the picture."""


@dataclass(frozen=True)
class Detection:
    """One face, in pixels of the picture that was searched."""

    box: Box
    landmarks: Landmarks
    score: float
    """0 to 1, the detector's own."""


class Detector(Protocol):
    """Finds faces. `detect` may be called from several threads."""

    name: str

    def detect(self, rgb: NDArray[np.uint8]) -> list[Detection]:
        """Faces in a uint8 (height, width, 3) picture, largest first; [] when there is none."""
        ...


@dataclass(frozen=True)
class _View:
    """The picture as one pass of a detector sees it."""

    pixels: MatLike
    scale: NDArray[np.float64]
    """(2,): pixels of the view per pixel of the picture, across and down."""
    border: int

    def to_picture(self, box: NDArray, points: NDArray, score: float) -> Detection:
        """A detection (`box` as x1, y1, x2, y2; `points` (5, 2)) in pixels of the picture."""
        corners = (box.reshape(2, 2) - self.border) / self.scale
        # A box has edges, a landmark is a pixel's centre: half a pixel apart under scaling.
        centres = (points - self.border + 0.5) / self.scale - 0.5
        eye_right, eye_left, nose, mouth_right, mouth_left = (
            (float(x), float(y)) for x, y in centres
        )
        return Detection(
            Box(*map(float, (*corners[0], *(corners[1] - corners[0])))),
            Landmarks(eye_right, eye_left, nose, mouth_right, mouth_left),
            min(1.0, float(score)),
        )


def _view(rgb: NDArray[np.uint8], side: int, padding: float = 0.0) -> _View:
    """`rgb` with its longer side at `side` pixels, and a border of its repeated edge."""
    height, width = rgb.shape[:2]
    factor = side / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    pixels: MatLike = rgb
    if size != (width, height):
        pixels = cv2.resize(rgb, size, interpolation=method)
    border = round(side * padding)
    if border:
        pixels = cv2.copyMakeBorder(pixels, border, border, border, border, cv2.BORDER_REPLICATE)
    return _View(pixels, np.array(size) / (width, height), border)


def _search(rgb: NDArray[np.uint8], find: Callable[[_View], list[Detection]]) -> list[Detection]:
    """Look at the picture in several sizes until all faces are found; largest first."""
    longer = max(rgb.shape[:2])
    side = min(max(longer, SMALLEST_SIDE), WORKING_SIDE)
    found = _usable(find(_view(rgb, side)))
    large = [d for d in found if d.box.height * side / longer >= CROWD_FACE]
    if longer >= 2 * side or (longer > side and not large):
        closer = _usable(find(_view(rgb, min(longer, LARGEST_SIDE))))
        found = _joined(large, closer, found)
    if not found:
        found = _usable(find(_view(rgb, SMALLEST_SIDE // 2, PADDING)))
    return sorted(found, key=lambda d: -d.box.width * d.box.height)


def _joined(*looks: list[Detection]) -> list[Detection]:
    """Each face once, by the first look that shows it; what others see inside it is part of it."""
    kept: list[Detection] = []
    for look in looks:
        kept += [
            one
            for one in look
            if not any(_within(one.box, k.box) or _within(k.box, one.box) for k in kept)
        ]
    return kept


def _within(box: Box, other: Box) -> bool:
    """Whether the middle of a box lies in another one."""
    across, down = box.x + box.width / 2 - other.x, box.y + box.height / 2 - other.y
    return 0 <= across <= other.width and 0 <= down <= other.height


def _usable(detections: list[Detection]) -> list[Detection]:
    return [d for d in detections if is_usable(d.landmarks)]


class YuNet:
    """YuNet (Wu et al. 2023) through OpenCV."""

    name = "yunet"

    def __init__(self, content: bytes) -> None:
        """Load the network from the content of its ONNX file.

        Raises
        ------
        cv2.error
            When OpenCV cannot read it.
        """
        with _quiet_opencv():
            self._network = cv2.FaceDetectorYN.create(
                "onnx",
                np.frombuffer(content, np.uint8),
                np.empty(0, np.uint8),
                (WORKING_SIDE, WORKING_SIDE),
                LEAST_SCORE,
                OVERLAP,
            )
        self._lock = threading.Lock()  # the network keeps state between its calls

    def detect(self, rgb: NDArray[np.uint8]) -> list[Detection]:
        return _search(rgb, self._find)

    def _find(self, view: _View) -> list[Detection]:
        bgr = cv2.cvtColor(view.pixels, cv2.COLOR_RGB2BGR)
        with self._lock:
            self._network.setInputSize(bgr.shape[1::-1])
            _, rows = self._network.detect(bgr)
        if rows is None:
            return []
        rows = rows.astype(np.float64)
        boxes = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1)
        points = rows[:, 4:14].reshape(-1, 5, 2)
        return [view.to_picture(*face) for face in zip(boxes, points, rows[:, 14], strict=True)]


class _quiet_opencv:  # noqa: N801 - reads as a statement
    """OpenCV 5 warns on every load that it ignores the target it was not asked for."""

    def __enter__(self) -> None:
        self._level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)

    def __exit__(self, *_: object) -> None:
        cv2.utils.logging.setLogLevel(self._level)


class MtcnnDetector:
    """MTCNN, in NumPy; slower than YuNet, but needs no file from elsewhere."""

    name = "mtcnn"

    def __init__(self) -> None:
        """Load the networks; raises `WeightsMissingError`."""
        self._networks = Mtcnn()

    def detect(self, rgb: NDArray[np.uint8]) -> list[Detection]:
        return _search(rgb, self._find)

    def _find(self, view: _View) -> list[Detection]:
        faces = self._networks.detect(view.pixels)
        triples = zip(faces.boxes, faces.landmarks, faces.scores, strict=True)
        return [view.to_picture(*face) for face in triples]


def cache_folder() -> Path:
    """Where this user's programs keep what can be fetched again, under `duet`.

    Raises
    ------
    RuntimeError
        When the user has no home folder.
    """
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "duet"


class _UnavailableError(Exception):
    """Why one source does not give YuNet's file."""


def _is_yunet(content: bytes) -> bool:
    return len(content) == YUNET_BYTES and hashlib.sha256(content).hexdigest() == YUNET_SHA256


def _read_yunet(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(YUNET_BYTES + 1)
    except OSError:
        raise _UnavailableError(f"{path} cannot be read") from None
    if not _is_yunet(content):
        raise _UnavailableError(f"{path} is not {YUNET_FILE} (its SHA-256 differs)")
    return content


def _fetch_yunet() -> bytes:
    """Fetch the file from the OpenCV Zoo, check it and keep it in the cache folder."""
    try:
        content = _download(YUNET_URL, YUNET_BYTES, FETCH_SECONDS)
    except (OSError, ValueError, http.client.HTTPException):
        raise _UnavailableError("the OpenCV Zoo could not be reached") from None
    if not _is_yunet(content):
        raise _UnavailableError("the OpenCV Zoo gave another file than expected")
    # A read-only home, or none: the next process fetches it again.
    with contextlib.suppress(OSError, RuntimeError):
        _keep(content, cache_folder() / YUNET_FILE)
    return content


def _download(url: str, size: int, seconds: float) -> bytes:
    """At most `size` + 1 bytes of `url` within about `seconds`; raises OSError or ValueError."""
    deadline = time.monotonic() + seconds
    content = bytearray()
    with urllib.request.urlopen(url, timeout=min(seconds, STALL_SECONDS)) as response:
        while chunk := response.read1(min(65536, size + 1 - len(content))):
            content += chunk
            if time.monotonic() > deadline:
                raise TimeoutError(url)
    return bytes(content)


def _keep(content: bytes, path: Path) -> None:
    """Write a file whole or not at all, however many processes write it at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def _yunet_sources() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """(where from, how to read it), the preferred first."""
    if given := os.environ.get("DUET_YUNET"):
        yield "from DUET_YUNET", lambda: _read_yunet(Path(given))
    # No home folder (RuntimeError), or one that may not be read: there is nothing cached then.
    with contextlib.suppress(OSError, RuntimeError):
        cached = cache_folder() / YUNET_FILE
        if cached.exists():
            yield "from the cache folder", lambda: _read_yunet(cached)
    yield "fetched from the OpenCV Zoo", _fetch_yunet


def _open_yunet() -> tuple[YuNet, str]:
    problems = []
    for origin, read in _yunet_sources():
        try:
            return YuNet(read()), origin
        except _UnavailableError as error:
            problems.append(str(error))
        except (cv2.error, AttributeError):  # OpenCV built without it
            problems.append("this OpenCV cannot run it")
    raise _UnavailableError("; ".join(problems))


_active: tuple[Detector, str] | DuetError | None = None
_opening = threading.Lock()


def _open() -> tuple[Detector, str] | DuetError:
    try:
        if os.environ.get(CHOICE) == MtcnnDetector.name:
            raise _UnavailableError("DUET_DETECTOR asks for MTCNN")
        yunet, origin = _open_yunet()
        return yunet, f"Faces are found with YuNet ({origin})."
    except _UnavailableError as error:
        why_not_yunet = str(error)
    try:
        return MtcnnDetector(), (
            f"Faces are found with MTCNN, slower than YuNet, because {why_not_yunet}."
        )
    except WeightsMissingError as error:
        return DuetError(
            "no_detector",
            f"No face detector is here: {why_not_yunet}, and {error}; "
            f"set DUET_YUNET to the path of {YUNET_FILE} and start again.",
        )


def _opened() -> tuple[Detector, str] | DuetError:
    """The choice, made once per process, so that a failed fetch is not tried at every picture."""
    global _active
    with _opening:
        if _active is None:
            _active = _open()
        return _active


def active_detector() -> Detector:
    """The detector in use: YuNet where its file is given, cached or fetched, else MTCNN.

    Raises
    ------
    DuetError
        `no_detector` when neither is there.
    """
    opened = _opened()
    if isinstance(opened, DuetError):
        raise DuetError(opened.code, opened.message)
    return opened[0]


def detector_status() -> tuple[str, str]:
    """(`yunet`, `mtcnn` or `none`; a sentence for people that says why)."""
    opened = _opened()
    if isinstance(opened, DuetError):
        return "none", opened.message
    return opened[0].name, opened[1]


def why_slower() -> str | None:
    """The sentence of `detector_status` where MTCNN found faces though nobody had asked for it."""
    slower = isinstance(_active, tuple) and _active[0].name == MtcnnDetector.name
    if not slower or os.environ.get(CHOICE) == MtcnnDetector.name:
        return None
    return detector_status()[1]
