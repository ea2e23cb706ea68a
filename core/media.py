"""Media in: the bytes of a file become a picture or a recording that the models can take.

Everything is recognised by its content, never by its file name, and every limit of
`core.limits` is checked before the work that it bounds. Whatever is wrong with the input comes
out as a `DuetError`; no other exception leaves this module.

Pictures are decoded by Pillow: it reads the header first, so that a bomb is refused before it is
decoded, knows EXIF, palettes and CMYK, and decodes huge JPEGs at a fraction of their size.
Recordings are decoded by PyAV, which brings its own FFmpeg and resampler. Both are imported on
first use. FFmpeg is always told which container to read: its own guessing would also try
playlists, which can name other files of this machine.
"""

from __future__ import annotations

import io
import os
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from core import limits
from core.errors import DuetError

if TYPE_CHECKING:
    from av import AudioFrame, AudioResampler
    from PIL.Image import Image, Transpose

SAMPLE_RATE = 16_000
"""Hz; every recording is brought to it."""

PICTURE_FORMATS = "JPEG, PNG, WebP, BMP or GIF"
RECORDING_FORMATS = "WAV, FLAC, OGG, MP3, M4A or WebM"

FULL_SCALE = 0.999
"""Samples at or above this share of the largest possible value count as clipped."""

UNNAMED = "This file"

LONGEST_NAME = 200
"""Characters of a file's name in a message; results carry the whole name."""

Kind = Literal["image", "audio"]


@dataclass(frozen=True)
class Picture:
    """A decoded picture, upright, opaque and no larger than `WORKING_IMAGE_SIDE`."""

    source: str
    pixels: NDArray[np.uint8] = field(repr=False, compare=False)
    """(height, width, 3): RGB, read-only."""
    original_size: tuple[int, int]
    """(width, height) in pixels of the upright picture before it was reduced."""


@dataclass(frozen=True)
class Recording:
    """A decoded recording: mono at `SAMPLE_RATE`."""

    source: str
    samples: NDArray[np.float32] = field(repr=False, compare=False)
    """(n,): in [-1, 1], finite, read-only."""
    original_rate: int
    """Hz, as decoded (Opus always decodes to 48,000)."""
    channels: int
    """Of the original."""
    clipped: float
    """Share of the original's samples, over all channels, that lie at full scale; 0 to 1."""

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.samples) / SAMPLE_RATE


def read(source: str | Path | bytes, name: str | None = None) -> tuple[bytes, str]:
    """The bytes of a file, given by path or already in memory, and its name, made `printable`.

    Raises
    ------
    DuetError
        `not_found`, `unsupported` (a folder or a device), `empty` or `file_too_large`.
    TypeError
        When the source is neither a path nor bytes.
    """
    if isinstance(source, (str, os.PathLike)):
        if source == "":
            raise DuetError("not_found", "No file is named; give a path.")
        path = Path(source)
        name = printable(name or path.name or str(path))
        data = _read_file(path, _clipped(name))
    elif isinstance(source, (bytes, bytearray, memoryview)):
        name = printable(name or UNNAMED)
        data = bytes(source)
    else:
        raise TypeError(
            f"expected the path of a file, or its content as bytes, not {type(source).__name__}"
        )
    shown = _clipped(name)
    if not data:
        raise DuetError("empty", f"{shown} is empty (0 bytes); choose another file.")
    if len(data) > limits.MAX_FILE_BYTES:
        raise _too_large(shown)
    return data, name


def sniff(data: bytes, name: str = UNNAMED, wanted: Kind | None = None) -> Kind:
    """Whether the content is that of a picture or of a recording (or of a video with sound).

    Parameters
    ----------
    wanted : the one kind that is of use, so that no other is recommended.

    Raises
    ------
    DuetError
        `empty` or `unsupported`, saying what the content is where that is known.
    """
    if _picture_format(data):
        return "image"
    if _demuxer(data):
        return "audio"
    shown = _clipped(name)
    if not data:
        raise DuetError("empty", f"{shown} is empty (0 bytes); choose another file.")
    uses: dict[Kind, str] = {
        "image": f"a picture ({PICTURE_FORMATS})",
        "audio": f"a recording ({RECORDING_FORMATS})",
    }
    use = uses[wanted] if wanted else " or ".join(uses.values())
    raise DuetError("unsupported", f"{shown} is {_description(data)}; use {use}.")


def decode_image(data: bytes, name: str = UNNAMED) -> Picture:
    """Decode a picture; of an animation the first frame.

    Transparent parts become white, 16 bits a channel become 8, CMYK and palettes become RGB.

    Raises
    ------
    DuetError
        `empty`, `unsupported`, `damaged`, `too_many_pixels` or `too_few_pixels`.
    """
    shown = _clipped(name)
    picture_format = _picture_format(data)
    if picture_format is None:
        sniff(data, name, "image")  # raises unless it is a recording
        raise DuetError(
            "unsupported", f"{shown} is a recording; use a picture here ({PICTURE_FORMATS})."
        )
    image = _open_image(data, picture_format, shown)
    _check_size(image.size, shown)
    try:
        upright, original_size = _upright_rgb(image)
    except Exception:  # noqa: BLE001 - rotten files make the decoders raise almost anything
        raise _damaged_picture(shown) from None
    if min(upright.size) < limits.MIN_IMAGE_SIDE:
        raise DuetError(
            "too_few_pixels",
            f"{shown} is too narrow to show a face; choose a picture of a more usual shape.",
        )
    return Picture(printable(name), np.asarray(upright), original_size)


def decode_audio(data: bytes, name: str = UNNAMED) -> Recording:
    """Decode a recording, or the first sound track of a video, to mono at `SAMPLE_RATE`.

    A recording that breaks off, or has some undecodable packets, is used as far as it decodes.
    No more than `MAX_AUDIO_SECONDS` are decoded, whatever the header says.

    Raises
    ------
    DuetError
        `empty`, `unsupported`, `damaged`, `no_audio`, `too_short`, `too_long` or `silent`.
    """
    shown = _clipped(name)
    demuxer = _demuxer(data)
    if demuxer is None:
        sniff(data, name, "audio")  # raises unless it is a picture
        raise DuetError(
            "unsupported", f"{shown} is a picture; use a recording here ({RECORDING_FORMATS})."
        )
    collector = _Collector(shown)
    failures = 0
    try:
        for frame in _audio_frames(data, demuxer, shown):
            if frame is None:
                failures += 1
            else:
                collector.add(frame)
        stereo = collector.finish()
    except DuetError:
        raise
    except Exception:  # noqa: BLE001 - FFmpeg's errors, and whatever PyAV makes of rotten frames
        raise _damaged_recording(shown) from None
    if failures > collector.frames:
        raise _damaged_recording(shown)
    samples = _mono(stereo)
    _check_sound(samples, shown)
    samples.flags.writeable = False
    return Recording(
        printable(name),
        samples,
        collector.original_rate,
        collector.original_channels,
        collector.clipped,
    )


# --- files and their kinds ---------------------------------------------------------------------


_JOINERS = "\u200c\u200d"
"""They part and join letters (Persian) and pictures (emoji)."""


def printable(name: str) -> str:
    """Without control characters, so that a name cannot disturb a terminal or a page.

    Spaces of any width and joiners stay: they stand in names that systems give.
    """
    return "".join(c if _is_harmless(c) else "?" for c in name)


def _is_harmless(character: str) -> bool:
    space = unicodedata.category(character) == "Zs"
    return character.isprintable() or space or character in _JOINERS


def _clipped(name: str) -> str:
    """A name as it appears in messages: printable, and no longer than a sentence bears."""
    name = printable(name)
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def _read_file(path: Path, shown: str) -> bytes:
    try:
        if path.exists() and not path.is_file():
            what = "a folder" if path.is_dir() else "not a regular file"
            raise DuetError("unsupported", f"{shown} is {what}; name a picture or a recording.")
        with path.open("rb") as file:
            # One byte more than allowed tells a file that is too large without reading it all.
            return file.read(limits.MAX_FILE_BYTES + 1)
    except PermissionError:
        raise DuetError(
            "not_found", f"{shown} cannot be opened; check the permission to read it."
        ) from None
    except (OSError, ValueError):  # ValueError: a null character in the path
        raise DuetError("not_found", f"{shown} does not exist; check the path.") from None


def _too_large(name: str) -> DuetError:
    megabytes = limits.MAX_FILE_BYTES // 2**20
    return DuetError(
        "file_too_large",
        f"{name} is larger than {megabytes} MB; use a smaller picture or a shorter recording.",
    )


def _picture_format(data: bytes) -> str | None:
    """Pillow's name of the format, or None."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    # "BM" alone may begin a text, so the size of the header that follows must fit as well.
    header_size = int.from_bytes(data[14:18], "little")
    if data.startswith(b"BM") and header_size in (12, 16, 40, 52, 56, 64, 108, 124):
        return "BMP"
    return None


_DEMUXERS = {
    b"fLaC": "flac",
    b"OggS": "ogg",
    b"\x1a\x45\xdf\xa3": "matroska",  # WebM too
    b"caff": "caf",
    b"#!AMR": "amr",
}

_DEMUXER_OPTIONS = {
    # Else FFmpeg searches the whole of 16-bit sound for disguised DTS: 15 times the decoding. So it
    # stops behind the packet with which it has so many bytes: the first one, but at 4 kHz.
    "wav": {"probesize": "1024"},
}

_QUICKTIME_BOXES = (b"ftyp", b"moov", b"mdat", b"wide")

_STILL_PICTURE_BRANDS = (
    *(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"),
    *(b"avif", b"avis", b"crx "),
)


def _demuxer(data: bytes) -> str | None:
    """FFmpeg's name of the container, or None."""
    head = _after_id3(data)
    for start, demuxer in _DEMUXERS.items():
        if head.startswith(start):
            return demuxer
    form = head[8:12]
    if head[:4] in (b"RIFF", b"RIFX", b"RF64") and form == b"WAVE":
        return "wav"
    if head.startswith(b"RIFF") and form == b"AVI ":
        return "avi"
    if head.startswith(b"FORM") and form in (b"AIFF", b"AIFC"):
        return "aiff"
    if head[4:8] in _QUICKTIME_BOXES and form not in _STILL_PICTURE_BRANDS:
        return "mov"
    return _mpeg_audio(head) or ("mp3" if _mp3_begins_later(data) else None)


def _after_id3(data: bytes) -> bytes:
    """The beginning of what follows an ID3v2 tag, if there is one."""
    if not data.startswith(b"ID3") or len(data) < 10:
        return data[:16]
    size = 0
    for byte in data[6:10]:  # seven bits a byte
        size = size << 7 | byte & 0x7F
    # An MP3 may have padding, or a tag of misstated size: take it for MP3 then.
    following = data[10 + size : 26 + size]
    return following if following.startswith(b"fLaC") or _mpeg_audio(following) else b"\xff\xfb\x90"


def _mpeg_audio(data: bytes) -> str | None:
    """`mp3` or `aac` when the data begin with a plausible frame header."""
    if len(data) < 3 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return None
    version, layer = data[1] >> 3 & 3, data[1] >> 1 & 3
    if layer == 0:  # ADTS
        return "aac" if data[1] & 0xF0 == 0xF0 and data[2] >> 2 & 15 < 13 else None
    bit_rate, rate = data[2] >> 4, data[2] >> 2 & 3
    # Layer I (3) is out of use, and would take the byte order mark of UTF-16 for sound.
    plausible = version != 1 and layer != 3 and bit_rate not in (0, 15) and rate != 3
    return "mp3" if plausible else None


_MP3_SEARCHED = 2**14
"""Bytes in which the first whole frame of an MP3 is looked for; a frame has 1,441 at most."""
_MP3_FRAMES = 4
"""That have to follow each other: a header alone is 21 bits, which chance sets as well."""


def _mp3_begins_later(data: bytes) -> bool:
    """Whether frames of MP3 follow what is none: one that was cut off a stream, or padding."""
    if _known_start(data) or data[4:8] == b"ftyp":  # an archive may hold an MP3 as it is
        return False
    start = data.find(b"\xff", 0, _MP3_SEARCHED)
    while start >= 0:
        here, kind = start, data[start + 1 : start + 2]
        for _ in range(_MP3_FRAMES):
            length = _mp3_frame_length(data[here : here + 3])
            if not length or data[here + 1 : here + 2] != kind:
                break
            here += length
        else:
            return True
        start = data.find(b"\xff", start + 1, _MP3_SEARCHED)
    return False


def _mp3_frame_length(header: bytes) -> int:
    """Bytes of the frame of MPEG layer III that begins with these three; 0 if none does."""
    layer_three = len(header) == 3 and header[1] >> 1 & 3 == 1
    if not layer_three or _mpeg_audio(header) != "mp3":
        return 0
    version, bit_rate, rate = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    first = version == 3
    kilobits = (_MP3_KILOBITS if first else _MP3_KILOBITS_2)[bit_rate - 1]
    hertz = (44_100, 48_000, 32_000)[rate] // {3: 1, 2: 2, 0: 4}[version]
    return (144_000 if first else 72_000) * kilobits // hertz + (header[2] >> 1 & 1)


_MP3_KILOBITS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
"""A second, of MPEG 1 by the number in the header, from 1 on."""
_MP3_KILOBITS_2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
"""The same of MPEG 2 and 2.5."""

_KNOWN_STARTS = {
    b"%PDF": "a PDF document",
    b"II*\x00": "a TIFF picture",
    b"MM\x00*": "a TIFF picture",
    b"8BPS": "a Photoshop picture",
    b"\x00\x00\x01\x00": "an icon",
    b"\xff\x0a": "a JPEG XL picture",
    b"\x00\x00\x00\x0cJXL": "a JPEG XL picture",
    b"\x00\x00\x00\x0cjP": "a JPEG 2000 picture",
    b"PK\x03\x04": "a zip archive or an office document",
    b"\x30\x26\xb2\x75": "a Windows Media file",
    b"MThd": "a MIDI file",
}


def _known_start(data: bytes) -> str | None:
    return next((kind for start, kind in _KNOWN_STARTS.items() if data.startswith(start)), None)


def _description(data: bytes) -> str:
    """What a file that Duet does not read is, for the end of `... is ...`."""
    if description := _known_start(data):
        return f"{description}, which Duet does not read"
    if data[4:8] == b"ftyp":
        return "a HEIC, AVIF or raw picture, which Duet does not read"
    head = data[:1024]
    if b"<svg" in head:
        return "an SVG drawing, which Duet does not read"
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        # The cut may have split the last character.
        text = head[: error.start].decode() if error.start > len(head) - 4 else "\0"
    if text and all(c.isprintable() or c.isspace() for c in text):
        return "text, not a picture or a recording"
    return "neither a picture nor a recording that Duet reads"


# --- pictures ----------------------------------------------------------------------------------


def _damaged_picture(name: str) -> DuetError:
    return DuetError(
        "damaged",
        f"{name} is damaged or incomplete; save or send the picture again, or choose another.",
    )


def _open_image(data: bytes, picture_format: str, name: str) -> Image:
    """Read the header only.

    Raises
    ------
    DuetError
        `damaged`, `unsupported` or `too_many_pixels`.
    """
    from PIL import Image

    # Pillow warns of large pictures and of broken EXIF: the first are refused right after, the
    # second does no harm.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    if picture_format == "JPEG" and _is_slow_jpeg(data):
        raise _damaged_picture(name)
    try:
        image = Image.open(io.BytesIO(data), formats=[picture_format])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many_pixels(name) from None
    except Exception:  # noqa: BLE001 - rotten headers make the plugins raise almost anything
        raise _damaged_picture(name) from None
    if picture_format == "BMP" and image.info.get("compression") in (1, 2):
        # Pillow unpacks these in Python, at tens of seconds for the worst of them.
        raise DuetError(
            "unsupported", f"{name} is a run-length compressed BMP; save it as PNG or JPEG."
        )
    return image


_JPEG_SEGMENT = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")
"""A marker with a length behind it, or the end of the image (d9). Inside of coded data, 00 after ff
means the byte ff, and d0 to d7 mean a restart; more of ff is padding."""

_JPEG_END, _JPEG_SCAN = b"\xff\xd9", b"\xff\xda"

_MOST_JPEG_SEGMENTS, _MOST_JPEG_PADDING = 10_000, 100_000
"""Metadata and scans take some hundreds of segments, and hardly any byte lies between them. Pillow
reads both in Python: millions take it minutes."""


def _is_slow_jpeg(data: bytes) -> bool:
    """Whether a JPEG has more scans, segments or padding than any camera writes.

    Follows the segments as libjpeg does: pictures inside of metadata, and whatever comes after
    the end of the image (the video of a motion photo), do not count.
    """
    scans, padding, position = 0, 0, 2
    for _ in range(_MOST_JPEG_SEGMENTS):
        marker = _JPEG_SEGMENT.search(data, position)
        if not scans:  # later it is not padding, but the picture
            padding += (marker.start() if marker else len(data)) - position
        if padding > _MOST_JPEG_PADDING:
            return True
        if marker is None or marker[0] == _JPEG_END:
            return False
        scans += marker[0] == _JPEG_SCAN
        if scans > limits.MAX_JPEG_SCANS:
            return True
        start = marker.end()
        position = start + max(2, int.from_bytes(data[start : start + 2], "big"))
    return True


def _too_many_pixels(name: str) -> DuetError:
    megapixels = limits.MAX_IMAGE_PIXELS // 1_000_000
    return DuetError(
        "too_many_pixels", f"{name} has more than {megapixels} megapixels; use a smaller copy."
    )


def _check_size(size: tuple[int, int], name: str) -> None:
    width, height = size
    if width * height > limits.MAX_IMAGE_PIXELS:
        raise _too_many_pixels(name)
    if min(size) < limits.MIN_IMAGE_SIDE:
        raise DuetError(
            "too_few_pixels",
            f"{name} has only {width} x {height} pixels; choose a picture with at least "
            f"{limits.MIN_IMAGE_SIDE} on each side.",
        )


def _upright_rgb(image: Image) -> tuple[Image, tuple[int, int]]:
    """Decode, reduce, flatten and turn; also the upright size before reduction."""
    from PIL.Image import Resampling, Transpose

    width, height = image.size
    scale = min(1.0, limits.WORKING_IMAGE_SIDE / max(width, height))
    target = (max(1, round(width * scale)), max(1, round(height * scale)))
    image.draft(None, target)  # JPEG only: decode at 1/2, 1/4 or 1/8 where that is enough
    image.load()
    turn = _turn(image)
    rgb = _rgb_or_rgba(image)
    if rgb.size != target:
        rgb = rgb.resize(target, Resampling.HAMMING, reducing_gap=2.0)
    if rgb.mode == "RGBA":
        rgb = _over_white(rgb)
    if turn is None:
        return rgb, (width, height)
    sideways = turn in (
        Transpose.TRANSPOSE,
        Transpose.ROTATE_270,
        Transpose.TRANSVERSE,
        Transpose.ROTATE_90,
    )
    return rgb.transpose(turn), (height, width) if sideways else (width, height)


def _turn(image: Image) -> Transpose | None:
    """How to turn the picture upright, by its EXIF orientation; None when it is upright."""
    from PIL.Image import Transpose

    try:
        orientation = int(image.getexif().get(0x0112, 1))
    except Exception:  # noqa: BLE001 - a broken EXIF block says nothing, but the picture is good
        return None
    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return turns.get(orientation)


def _rgb_or_rgba(image: Image) -> Image:
    """8 bits a channel; RGBA where anything may be transparent."""
    from PIL.Image import fromarray

    if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip at 255
        deep = np.asarray(image)
        grey = fromarray((deep >> 8).clip(0, 255).astype(np.uint8))
        if not image.has_transparency_data:
            return grey.convert("RGB")
        rgba = grey.convert("RGBA")
        opaque = deep != image.info["transparency"]
        rgba.putalpha(fromarray(opaque.astype(np.uint8) * np.uint8(255)))
        return rgba
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _over_white(image: Image) -> Image:
    from PIL.Image import new

    white = new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


# --- recordings --------------------------------------------------------------------------------


def _damaged_recording(name: str) -> DuetError:
    return DuetError(
        "damaged",
        f"{name} is damaged or incomplete; record or save it again, or choose another.",
    )


def _too_long(name: str) -> DuetError:
    minutes = limits.MAX_AUDIO_SECONDS / 60
    return DuetError(
        "too_long", f"{name} is longer than {minutes:g} minutes; cut out the part that matters."
    )


def _audio_frames(data: bytes, demuxer: str, name: str) -> Iterator[AudioFrame | None]:
    """Decoded frames, and None for each packet that does not decode.

    Raises
    ------
    DuetError
        `damaged` when the container cannot be read or is cut into senselessly small packets,
        `no_audio` when it holds no sound.
    """
    import av

    av.logging.set_level(None)  # FFmpeg is not to write to stderr
    try:
        container = av.open(
            io.BytesIO(data),
            "r",
            format=demuxer,
            container_options=_DEMUXER_OPTIONS.get(demuxer),
            metadata_errors="replace",
        )
    except Exception:  # noqa: BLE001 - FFmpeg's errors, and Python's for what PyAV cannot represent
        raise _damaged_recording(name) from None
    with container:
        if not container.streams.audio:
            raise DuetError(
                "no_audio", f"{name} holds no sound; choose a recording, or a video with sound."
            )
        packets = container.demux(container.streams.audio[0])
        for _ in range(limits.MAX_AUDIO_PACKETS):
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError:  # the file breaks off here
                yield None
                return
            try:
                yield from packet.decode()
            except av.FFmpegError:
                yield None
        raise _damaged_recording(name)


class _Collector:
    """Gathers frames of any format, rate and channels as one or two channels at 16 kHz.

    Frames are converted in blocks: a call for every frame of 20 ms would cost more than the
    decoding.
    """

    BLOCK = 2**18
    """Values (samples of all channels) that make a block worth converting."""

    def __init__(self, name: str) -> None:
        self.frames = 0
        self.original_rate = 0
        self.original_channels = 0
        self._name = name
        self._samples: Counter[int] = Counter()  # by rate, as seconds of frames add up to less
        self._values = 0
        self._clipped = 0
        self._peak = 0.0
        self._block: list[NDArray[Any]] = []
        self._block_format: tuple[int, str, int] = (0, "", 0)
        self._block_values = 0
        self._resampler: AudioResampler | None = None
        self._resampled: list[NDArray[Any]] = []

    @property
    def clipped(self) -> float:
        # Floating-point samples are not bound to [-1, 1]: far beyond it they are not clipped,
        # but on another scale (16-bit numbers stored as floats, for one).
        return self._clipped / self._values if self._values and self._peak <= 2 else 0.0

    def add(self, frame: AudioFrame) -> None:
        """Take one decoded frame.

        Raises
        ------
        DuetError
            `too_long` as soon as the recording exceeds its limits, `unsupported` for a sample
            rate out of bounds.
        """
        rate, channels = frame.sample_rate, frame.layout.nb_channels
        if not limits.MIN_AUDIO_RATE <= rate <= limits.MAX_AUDIO_RATE:
            raise DuetError(
                "unsupported",
                f"{self._name} has {rate} samples a second; save it with 16,000 to 48,000.",
            )
        self.frames += 1
        self._samples[rate] += frame.samples
        self._values += frame.samples * channels
        if sum(n / hertz for hertz, n in self._samples.items()) > limits.MAX_AUDIO_SECONDS:
            raise _too_long(self._name)
        if self._values > limits.MAX_AUDIO_VALUES:
            raise DuetError(
                "too_long",
                f"{self._name} holds too many samples; save it with fewer channels or at 48 kHz.",
            )
        if (rate, frame.format.name, channels) != self._block_format:
            self._convert()
            if rate != self._block_format[0]:
                self._change_rate()
            self._block_format = (rate, frame.format.name, channels)
            self.original_rate = self.original_rate or rate
            self.original_channels = self.original_channels or channels
        array = frame.to_ndarray()
        self._block.append(array if frame.format.is_planar else array.reshape(-1, channels).T)
        self._block_values += array.size
        if self._block_values >= self.BLOCK:
            self._convert()

    def finish(self) -> NDArray[np.float32]:
        """(1 or 2, n) float32 in [-1, 1] at `SAMPLE_RATE`; n may be 0."""
        self._convert()
        self._change_rate()
        if not self._resampled:
            return np.zeros((1, 0), np.float32)
        samples: NDArray[np.float32] = np.concatenate(self._resampled, axis=1)
        self._resampled.clear()
        peak = max(float(samples.max(initial=0)), -float(samples.min(initial=0)))
        # Scaling rather than cutting off adds no distortion to what lossy coding overshot.
        return samples / np.float32(peak) if peak > 1 else samples

    def _convert(self) -> None:
        """Bring the gathered block to one or two channels at 16 kHz."""
        if not self._block:
            return
        import av

        rate = self._block_format[0]
        block = np.concatenate(self._block, axis=1)
        self._block.clear()
        self._block_values = 0
        floats = self._to_float(block)
        wide = min(self.original_channels, 2)
        frame = av.AudioFrame.from_ndarray(
            _fold(floats, wide), format="fltp", layout=("mono", "stereo")[wide - 1]
        )
        frame.sample_rate = rate
        if self._resampler is None:
            self._resampler = av.AudioResampler(
                format="fltp", layout=frame.layout, rate=SAMPLE_RATE
            )
        self._resample(frame)

    def _to_float(self, block: NDArray[Any]) -> NDArray[np.float32]:
        """Samples of any type to float32 with full scale at 1; counts the clipped ones."""
        if block.dtype.kind == "f":
            # Not finite, or beyond even 32-bit numbers stored as floats: no sample at all.
            floats = np.where(np.abs(block) <= 2**31, block, 0).astype(np.float32)
            largest = 1.0
        else:
            half = float(2 ** (8 * block.dtype.itemsize - 1))
            floats = block.astype(np.float32)
            floats -= half if block.dtype.kind == "u" else 0.0
            floats /= half
            largest = (half - 1) / half
        magnitude = np.abs(floats)
        self._clipped += int(np.count_nonzero(magnitude >= FULL_SCALE * largest))
        self._peak = max(self._peak, float(magnitude.max(initial=0)))
        return floats

    def _resample(self, frame: AudioFrame | None) -> None:
        if self._resampler is not None:
            self._resampled.extend(f.to_ndarray() for f in self._resampler.resample(frame))

    def _change_rate(self) -> None:
        """Flush the resampler; the next block gets a new one."""
        self._resample(None)
        self._resampler = None


def _fold(channels: NDArray[np.float32], wide: int) -> NDArray[np.float32]:
    """(any, n) to (wide, n): the mean of every first, second, ... `wide`-th channel."""
    if len(channels) < wide:
        folded = np.repeat(channels, wide, axis=0)
    elif len(channels) > wide:
        folded = np.stack([channels[i::wide].mean(axis=0) for i in range(wide)])
    else:
        folded = channels
    return np.ascontiguousarray(folded)


def _mono(channels: NDArray[np.float32]) -> NDArray[np.float32]:
    """One channel from one or two, (1 or 2, n) to (n,), keeping the level of the voice.

    The mean of both; the louder one alone when the other is silent (40 dB below it), or when
    they are in opposite phase and would cancel out.
    """
    if len(channels) == 1 or channels.shape[1] == 0:
        return channels[0].copy()
    power = channels.var(axis=1)
    mean = channels.mean(axis=0)
    if power.min() < 1e-4 * power.max() or mean.var() < 0.1 * power.mean():
        return channels[int(power.argmax())].copy()
    return mean


def _check_sound(samples: NDArray[np.float32], name: str) -> None:
    """Raise `too_short` or `silent`."""
    from core.voice.activity import loudest_dbfs  # which knows this module's `Recording`

    if len(samples) < limits.MIN_AUDIO_SECONDS * SAMPLE_RATE:
        seconds = len(samples) / SAMPLE_RATE
        raise DuetError(
            "too_short", f"{name} lasts only {seconds:.2f} s; record at least a spoken word."
        )
    if loudest_dbfs(samples) < limits.SILENCE_DBFS:
        raise DuetError(
            "silent",
            f"{name} is silent; record again with the microphone on, or choose another recording.",
        )
