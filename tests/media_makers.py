"""Pictures and recordings for tests, sound and rotten, made in memory."""

from __future__ import annotations

import io
import struct
import zlib
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

# --- pictures ----------------------------------------------------------------------------------


def pixels(width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    """(height, width, 3): four plain quarters, red and green above, blue and white below."""
    picture = np.zeros((height, width, 3), np.uint8)
    top, left = height // 2, width // 2
    picture[:top, :left] = (255, 0, 0)
    picture[:top, left:] = (0, 255, 0)
    picture[top:, :left] = (0, 0, 255)
    picture[top:, left:] = (255, 255, 255)
    return picture


def picture(
    file_format: str = "JPEG",
    *,
    width: int = 64,
    height: int = 48,
    mode: str = "RGB",
    orientation: int | None = None,
    **options: Any,
) -> bytes:
    """`pixels` saved by Pillow; `orientation` is the EXIF tag, the pixels stay as they are."""
    image = Image.fromarray(pixels(width, height)).convert(mode)
    if orientation is not None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif
    return save(image, file_format, **options)


def save(image: Image.Image, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def png_16_bit(width: int = 64, height: int = 48) -> bytes:
    """Grey, 16 bits: dark left half (0), bright right half (65535)."""
    grey = np.zeros((height, width), np.uint16)
    grey[:, width // 2 :] = 65535
    return save(Image.fromarray(grey), "PNG")


def png_with_alpha(mode: str = "RGBA", width: int = 64, height: int = 48) -> bytes:
    """Black, the left half opaque and the right half fully transparent."""
    alpha = np.zeros((height, width), np.uint8)
    alpha[:, : width // 2] = 255
    black = Image.new("RGB", (width, height), "black")
    black.putalpha(Image.fromarray(alpha))
    return save(black.convert(mode), "PNG")


def gif(frames: int = 3, width: int = 64, height: int = 48) -> bytes:
    """An animation whose first frame is `pixels` and whose other frames are black."""
    first = Image.fromarray(pixels(width, height))
    others = [Image.new("RGB", first.size, (0, 0, i)) for i in range(1, frames)]
    return save(first, "GIF", save_all=True, append_images=others)


def png_claiming(width: int, height: int) -> bytes:
    """A tiny PNG whose header states any size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    content = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + content + chunk(b"IEND", b"")


def jpeg_claiming(width: int, height: int) -> bytes:
    """A small JPEG whose header states any size up to 65,535 a side."""
    data = bytearray(picture("JPEG"))
    start = data.index(b"\xff\xc0")
    data[start + 5 : start + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def webp_claiming(width: int, height: int) -> bytes:
    """The header of an extended WebP that states any size."""
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    chunk = b"VP8X" + struct.pack("<I", 10) + bytes(4) + size
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def bmp_run_length(width: int = 64, height: int = 48) -> bytes:
    """A run-length compressed BMP."""
    rows = (struct.pack("<BB", width, 1) + b"\x00\x00") * height + b"\x00\x01"
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(rows), 0, 0, 256, 0)
    offset = 14 + len(header) + 1024
    start = b"BM" + struct.pack("<IHHI", offset + len(rows), 0, 0, offset)
    return start + header + bytes(1024) + rows


def jpeg_with_scans(scans: int) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    data = picture("JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + data[-2:]


# --- other files -------------------------------------------------------------------------------

TEXT = b"Dear diary, today was a fine day.\n"
HEIC = struct.pack(">I", 24) + b"ftypheic" + bytes(4) + b"mif1heic" + bytes(200)
SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"></svg>\n'
PDF = b"%PDF-1.7\n" + bytes(200)
TIFF = b"II*\x00" + bytes(200)


def noise_bytes(count: int = 5000, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(count)


# --- recordings --------------------------------------------------------------------------------


def tone(
    seconds: float = 1.0, *, rate: int = 48_000, hertz: float = 440.0, level: float = 0.5
) -> NDArray[np.float32]:
    """(n,) sine with amplitude `level`."""
    times = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * hertz * times)).astype(np.float32)


def wav(
    samples: NDArray[np.floating], *, rate: int = 48_000, bits: int = 16, floating: bool = False
) -> bytes:
    """Samples (n,) or (channels, n) in [-1, 1] as a WAV file of 8, 16, 24 or 32 bits, or float."""
    channels = np.atleast_2d(np.asarray(samples, np.float64))
    interleaved = channels.T.reshape(-1)
    if floating:
        content = interleaved.astype({32: "<f4", 64: "<f8"}[bits]).tobytes()
    else:
        half = 2 ** (bits - 1)
        whole = np.clip(np.round(interleaved * half), -half, half - 1).astype("<i4")
        if bits == 8:
            content = (whole + 128).astype(np.uint8).tobytes()
        else:
            content = whole.view(np.uint8).reshape(-1, 4)[:, : bits // 8].tobytes()
    return wav_header(len(content), rate, len(channels), bits, floating) + content


def wav_header(
    content_bytes: int,
    rate: int = 48_000,
    channels: int = 1,
    bits: int = 16,
    floating: bool = False,
) -> bytes:
    block = channels * bits // 8
    layout = struct.pack(
        "<HHIIHH",
        3 if floating else 1,
        channels,
        rate,
        rate * block & 0xFFFFFFFF,
        block & 0xFFFF,
        bits,
    )
    return (
        (b"RIFF" + struct.pack("<I", 36 + content_bytes & 0xFFFFFFFF) + b"WAVE")
        + (b"fmt " + struct.pack("<I", len(layout)) + layout)
        + (b"data" + struct.pack("<I", content_bytes & 0xFFFFFFFF))
    )


CONTAINERS = {
    "flac": ("flac", "flac"),
    "ogg": ("ogg", "libopus"),
    "vorbis": ("ogg", "vorbis"),
    "mp3": ("mp3", "libmp3lame"),
    "m4a": ("ipod", "aac"),
    "webm": ("webm", "libopus"),
    "aiff": ("aiff", "pcm_s16be"),
    "aac": ("adts", "aac"),
    "caf": ("caf", "pcm_s16le"),
}
"""Name -> FFmpeg's muxer and encoder."""


def recording(
    container: str, samples: NDArray[np.floating], *, rate: int = 48_000, **options: str
) -> bytes:
    """Samples (n,) or (channels up to 2, n) encoded as one of `CONTAINERS`."""
    muxer, codec = CONTAINERS[container]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=muxer, options=options) as output:
        _add_sound(output, np.atleast_2d(samples), rate, codec)
    return buffer.getvalue()


def _add_sound(output: Any, channels: NDArray[np.floating], rate: int, codec: str) -> None:
    layout = ("mono", "stereo")[len(channels) - 1]
    if codec == "vorbis":  # FFmpeg's own encoder: experimental, and stereo only
        channels, layout = np.broadcast_to(channels, (2, channels.shape[1])), "stereo"
    stream = output.add_stream(codec, rate=rate, layout=layout)
    if codec == "vorbis":
        stream.codec_context.options = {"strict": "experimental"}
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(channels, np.float32), format="fltp", layout=layout
    )
    frame.sample_rate, frame.pts = rate, 0
    converter = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=rate)
    for converted in [*converter.resample(frame), *converter.resample(None), None]:
        output.mux(stream.encode(converted))


def video(*, sound: bool = True, seconds: float = 1.0) -> bytes:
    """A small MP4 of grey frames, with or without a tone of 440 Hz."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as output:
        stream = output.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = Fraction(1, 10)
        if sound:
            _add_sound(output, tone(seconds)[np.newaxis], 48_000, "aac")
        for i in range(round(seconds * 10)):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 128, np.uint8), format="rgb24")
            frame.pts = i
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()
