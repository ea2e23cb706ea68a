"""Decoding: every format, every limit, and files that are rotten in every way."""

from __future__ import annotations

import copy
import io
import os
import pickle
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from core import limits, media
from core.errors import CODES, DuetError
from tests import media_makers as make

ROOT = Path(__file__).resolve().parent.parent


def code_of(call: Callable[..., object], *arguments: object) -> str:
    """The code of the `DuetError` that the call raises; checks its sentence on the way."""
    with pytest.raises(DuetError) as caught:
        call(*arguments)
    assert caught.value.code in CODES
    assert caught.value.message.endswith(".")
    assert "\n" not in caught.value.message
    return caught.value.code


def level(samples: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(samples))))


def loudest_hertz(samples: NDArray[np.float32]) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * media.SAMPLE_RATE / len(samples))


# --- files -------------------------------------------------------------------------------------


def test_read_takes_paths_and_bytes(tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(b"content")
    assert media.read(path) == (b"content", "photo.png")
    assert media.read(str(path), "shown") == (b"content", "shown")
    assert media.read(b"content") == (b"content", media.UNNAMED)


def test_read_refuses_what_is_no_file(tmp_path):
    assert code_of(media.read, tmp_path / "none.png") == "not_found"
    assert code_of(media.read, "null\0character.png") == "not_found"
    assert code_of(media.read, "x" * 5000) == "not_found"
    assert code_of(media.read, tmp_path) == "unsupported"
    assert code_of(media.read, "/dev/null") == "unsupported"


def test_read_refuses_empty_and_huge_files(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "MAX_FILE_BYTES", 1000)
    path = tmp_path / "file"
    path.write_bytes(b"")
    assert code_of(media.read, path) == "empty"
    assert code_of(media.read, b"") == "empty"
    path.write_bytes(bytes(1000))
    assert len(media.read(path)[0]) == 1000
    path.write_bytes(bytes(1001))
    assert code_of(media.read, path) == "file_too_large"
    assert code_of(media.read, bytes(1001)) == "file_too_large"


def test_names_are_made_printable():
    _, name = media.read(b"x", "a\x1b[31m\nb\udcff")
    assert name == "a?[31m?b?"
    assert media.decode_image(make.picture("PNG"), "a\nb").source == "a?b"
    assert media.decode_audio(make.wav(make.tone(0.5)), "a\nb").source == "a?b"


def test_spaces_and_joiners_stay_in_names():
    for name in (
        "Screenshot 9.41\u202fAM.jpg",
        "\u3000\u00a0",
        "\u06cc\u200c\u0631",
        "\u2764\u200d",
    ):
        assert media.printable(name) == name
    assert media.printable("a\u202eb\u2066c\u200bd\u2028e\x00f\tg") == "a?b?c?d?e?f?g"


@pytest.mark.parametrize("decode", [media.decode_image, media.decode_audio])
def test_long_names_are_clipped_in_messages_only(decode):
    name = "n" * 300
    good = make.picture("PNG") if decode is media.decode_image else make.wav(make.tone(0.5))
    data, kept = media.read(good, name)
    assert kept == decode(data, kept).source == name
    for call, data in ((media.read, b""), (decode, make.TEXT), (decode, good[:60])):
        with pytest.raises(DuetError) as caught:
            call(data, name)
        assert caught.value.message.startswith("n" * 199 + "… ")


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "BMP", "GIF"])
def test_pictures_are_known_by_their_content(file_format):
    assert media.sniff(make.picture(file_format)) == "image"


@pytest.mark.parametrize("container", make.CONTAINERS)
def test_recordings_are_known_by_their_content(container):
    assert media.sniff(make.recording(container, make.tone(0.5))) == "audio"


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (make.TEXT, "text"),
        ("Größe".encode() * 300, "text"),
        ("text".encode("utf-16"), "neither"),
        (make.HEIC, "HEIC"),
        (make.SVG, "SVG"),
        (make.PDF, "PDF"),
        (make.TIFF, "TIFF"),
        (make.noise_bytes(), "neither"),
        (b"BMW is not a bitmap, as the word goes on", "text"),
        (b"\xff", "neither"),
        (b"RIFF", "text"),
    ],
)
def test_other_files_are_named_and_refused(data, word):
    with pytest.raises(DuetError) as caught:
        media.sniff(data, "holiday.png")
    assert caught.value.code == "unsupported"
    assert caught.value.message.startswith("holiday.png is ")
    assert word in caught.value.message
    assert "JPEG" in caught.value.message
    assert "WAV" in caught.value.message
    for decode in (media.decode_image, media.decode_audio):
        assert code_of(decode, data) == "unsupported"


def test_each_decoder_refuses_the_other_kind():
    assert code_of(media.decode_image, make.wav(make.tone())) == "unsupported"
    assert code_of(media.decode_audio, make.picture()) == "unsupported"
    assert code_of(media.decode_image, b"") == "empty"
    assert code_of(media.decode_audio, b"") == "empty"


# --- pictures ----------------------------------------------------------------------------------


def assert_quarters(pixels, tolerance=40):
    """Whether the quarters of `make.pixels` are where they belong."""
    height, width = pixels.shape[:2]
    for row, column, colour in [
        (1, 1, (255, 0, 0)),
        (1, 3, (0, 255, 0)),
        (3, 1, (0, 0, 255)),
        (3, 3, (255, 255, 255)),
    ]:
        found = pixels[row * height // 4, column * width // 4].astype(int)
        assert np.abs(found - colour).max() <= tolerance, (row, column, found)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "BMP", "GIF"])
def test_every_picture_format_decodes(file_format):
    picture = media.decode_image(make.picture(file_format), "a picture")
    assert picture.source == "a picture"
    assert picture.original_size == (64, 48)
    assert picture.pixels.shape == (48, 64, 3)
    assert picture.pixels.dtype == np.uint8
    assert not picture.pixels.flags.writeable
    assert_quarters(picture.pixels)


@pytest.mark.parametrize(
    ("file_format", "mode"),
    [("PNG", "P"), ("PNG", "RGBA"), ("JPEG", "CMYK"), ("WEBP", "RGBA"), ("BMP", "P")],
)
def test_every_mode_becomes_rgb(file_format, mode):
    assert_quarters(media.decode_image(make.picture(file_format, mode=mode)).pixels, 60)


@pytest.mark.parametrize(("file_format", "mode"), [("PNG", "1"), ("PNG", "L"), ("JPEG", "L")])
def test_grey_becomes_rgb(file_format, mode):
    pixels = media.decode_image(make.picture(file_format, mode=mode)).pixels
    assert pixels.shape == (48, 64, 3)
    assert (pixels[40, 50] > 250).all()


def test_16_bit_grey_keeps_its_range():
    pixels = media.decode_image(make.png_16_bit()).pixels
    assert (pixels[:, :32] == 0).all()
    assert (pixels[:, 32:] == 255).all()
    middle = make.save(Image.fromarray(np.full((48, 64), 32768, np.uint16)), "PNG")
    assert (media.decode_image(middle).pixels == 128).all()


def test_transparent_16_bit_grey_becomes_white():
    grey = np.full((48, 64), 32768, np.uint16)
    grey[:, :32], grey[:, 32:40] = 1000, 1001
    pixels = media.decode_image(make.save(Image.fromarray(grey), "PNG", transparency=1000)).pixels
    assert (pixels[:, :32] == 255).all()
    assert (pixels[:, 32:40] == 3).all()
    assert (pixels[:, 40:] == 128).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparent_parts_become_white(mode):
    if mode == "PA":
        palette = Image.new("P", (64, 48), 0)
        palette.putpalette([0, 0, 0, 9, 9, 9])
        palette.paste(1, (32, 0, 64, 48))
        data = make.save(palette, "PNG", transparency=1)
    else:
        data = make.png_with_alpha(mode)
    pixels = media.decode_image(data).pixels
    assert (pixels[:, :32] == 0).all()
    assert (pixels[:, 32:] == 255).all()


def test_animations_give_their_first_frame():
    assert_quarters(media.decode_image(make.gif()).pixels)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(file_format, orientation):
    """The pixels are stored turned; the tag says how to turn them back."""
    transpose = Image.Transpose
    undo = {
        1: None,
        2: transpose.FLIP_LEFT_RIGHT,
        3: transpose.ROTATE_180,
        4: transpose.FLIP_TOP_BOTTOM,
        5: transpose.TRANSPOSE,
        6: transpose.ROTATE_90,
        7: transpose.TRANSVERSE,
        8: transpose.ROTATE_270,
    }[orientation]
    upright = Image.fromarray(make.pixels())
    stored = upright if undo is None else upright.transpose(undo)
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = media.decode_image(make.save(stored, file_format, exif=exif))
    assert picture.original_size == (64, 48)
    assert_quarters(picture.pixels)


def test_square_and_reduced_pictures_are_turned_too():
    picture = media.decode_image(make.picture("JPEG", width=4000, height=3000, orientation=6))
    assert picture.original_size == (3000, 4000)
    assert picture.pixels.shape == (limits.WORKING_IMAGE_SIDE, 1440, 3)


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"\xff"])
def test_broken_exif_is_ignored(exif, recwarn):
    assert_quarters(media.decode_image(make.picture("JPEG", exif=exif)).pixels)
    assert not recwarn


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_senseless_orientation_is_ignored(orientation):
    assert_quarters(media.decode_image(make.picture("JPEG", orientation=orientation)).pixels)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_large_pictures_are_reduced(file_format):
    picture = media.decode_image(make.picture(file_format, width=2500, height=1250))
    assert picture.original_size == (2500, 1250)
    assert picture.pixels.shape == (960, 1920, 3)
    assert_quarters(picture.pixels)


@pytest.mark.parametrize(
    "data",
    [
        make.png_claiming(20_000, 10_000),
        make.png_claiming(9_000, 9_000),
        make.png_claiming(2**31 - 1, 2**31 - 1),
        make.jpeg_claiming(20_000, 10_000),
        make.webp_claiming(16_000, 12_500),
    ],
)
def test_bombs_are_refused_before_decoding(data, recwarn):
    tracemalloc.start()
    try:
        assert code_of(media.decode_image, data) == "too_many_pixels"
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
    assert not recwarn


@pytest.mark.parametrize(("width", "height"), [(1, 1), (15, 64), (64, 15), (4000, 17)])
def test_tiny_and_thin_pictures_are_refused(width, height):
    data = make.picture("PNG", width=width, height=height)
    assert code_of(media.decode_image, data) == "too_few_pixels"


def test_slow_files_are_refused():
    assert code_of(media.decode_image, make.bmp_run_length()) == "unsupported"
    assert code_of(media.decode_image, make.jpeg_with_scans(1000)) == "damaged"
    assert media.decode_image(make.picture("JPEG", progressive=True)).original_size == (64, 48)


def test_what_follows_a_jpeg_does_not_count_as_its_scans():
    video = np.random.default_rng(0).bytes(20_000_000)
    assert video.count(b"\xff\xda") > limits.MAX_JPEG_SCANS
    plain = make.picture("JPEG", progressive=True)
    picture = media.decode_image(plain + video)
    np.testing.assert_array_equal(picture.pixels, media.decode_image(plain).pixels)


def with_segments(data: bytes, segment: bytes) -> bytes:
    """A JPEG with something inserted right after its start."""
    return data[:2] + segment + data[2:]


def test_only_segments_of_the_picture_itself_are_walked():
    comment = b"\xff\xfe" + (2 + 4000).to_bytes(2, "big") + b"\xff\xda" * 2000
    plain = make.picture("JPEG")
    assert media.decode_image(with_segments(plain, comment)).original_size == (64, 48)
    assert code_of(media.decode_image, with_segments(plain, b"\xff\xfe\0\2" * 20_000)) == "damaged"
    assert code_of(media.decode_image, with_segments(plain, b"\xff" * 2_000_000)) == "damaged"
    scans = make.jpeg_with_scans(1000)
    # Neither padding nor a marker without a length hides the scans that come after.
    for hidden in (with_segments(scans, b"\xff" * 9), with_segments(scans, b"\xff\x01\xff\xff")):
        assert code_of(media.decode_image, hidden) == "damaged"
        assert media._is_slow_jpeg(hidden)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "BMP", "GIF"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_pictures_are_damaged(file_format, share):
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    data = make.save(Image.fromarray(noise), file_format)
    assert code_of(media.decode_image, data[: int(len(data) * share)]) == "damaged"


# --- recordings --------------------------------------------------------------------------------


@pytest.mark.parametrize("container", make.CONTAINERS)
@pytest.mark.parametrize(("rate", "channels"), [(48_000, 2), (16_000, 1)])
def test_every_recording_format_decodes(container, rate, channels):
    if container == "vorbis":  # the encoder at hand makes stereo only
        channels = 2
    sound = np.stack([make.tone(1.0, rate=rate)] * channels)
    recording = media.decode_audio(make.recording(container, sound, rate=rate), "a recording")
    assert recording.source == "a recording"
    assert recording.original_rate in (rate, 48_000)
    assert recording.channels == channels
    assert recording.duration == pytest.approx(1.0, abs=0.15)  # AAC is padded
    assert recording.samples.dtype == np.float32
    assert recording.samples.ndim == 1
    assert not recording.samples.flags.writeable
    assert loudest_hertz(recording.samples[:16_000]) == pytest.approx(440, abs=2)
    assert level(recording.samples[1600:14_400]) == pytest.approx(0.354, rel=0.06)


@pytest.mark.parametrize(
    ("bits", "floating"),
    [(8, False), (16, False), (24, False), (32, False), (32, True), (64, True)],
)
def test_every_sample_format_decodes(bits, floating):
    sound = make.tone(0.5, rate=16_000)
    data = make.wav(sound, rate=16_000, bits=bits, floating=floating)
    samples = media.decode_audio(data).samples
    assert samples.shape == sound.shape
    assert np.abs(samples - sound).max() < (0.01 if bits == 8 else 1e-4)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 96_000, 192_000])
def test_every_rate_becomes_16_khz_in_place(rate):
    """Same pitch, same length, and an onset that stays where it was."""
    sound = make.tone(1.0, rate=rate, hertz=1000)
    sound[: rate // 2] = 0
    recording = media.decode_audio(make.wav(sound, rate=rate))
    assert recording.original_rate == rate
    assert recording.duration == pytest.approx(1.0, abs=0.001)
    onset = np.flatnonzero(np.abs(recording.samples) > 0.25)[0] / media.SAMPLE_RATE
    assert onset == pytest.approx(0.5, abs=0.002)
    assert loudest_hertz(recording.samples) == pytest.approx(1000, abs=3)


@pytest.mark.parametrize("rate", [48_000, 44_100])
def test_resampling_does_not_alias(rate):
    beyond = make.tone(1.0, rate=rate, hertz=10_000, level=0.9)
    heard = make.tone(1.0, rate=rate, hertz=500, level=0.05)
    samples = media.decode_audio(make.wav(beyond + heard, rate=rate, bits=24)).samples
    samples = samples[1600:-1600]
    assert loudest_hertz(samples) == pytest.approx(500, abs=2)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    alias = round(6000 * len(samples) / media.SAMPLE_RATE)
    assert spectrum[alias - 5 : alias + 6].max() < spectrum.max() * 1e-3


@pytest.mark.parametrize("channels", [1, 2, 3, 6, 8, 9, 16])
def test_any_number_of_channels(channels):
    sound = make.tone(0.5)
    recording = media.decode_audio(make.wav(np.stack([sound] * channels)))
    assert recording.channels == channels
    assert level(recording.samples) == pytest.approx(0.354, rel=0.02)


@pytest.mark.parametrize("silent", [0, 1])
def test_a_silent_channel_does_not_halve_the_level(silent):
    both = np.stack([make.tone(0.5)] * 2)
    both[silent] = 0
    assert level(media.decode_audio(make.wav(both)).samples) == pytest.approx(0.354, rel=0.02)


def test_channels_in_opposite_phase_do_not_cancel_out():
    sound = make.tone(0.5)
    samples = media.decode_audio(make.wav(np.stack([sound, -sound]))).samples
    assert level(samples) == pytest.approx(0.354, rel=0.02)


@pytest.mark.parametrize("bits", [8, 16, 24])
def test_clipping_is_measured_in_the_original(bits):
    sound = np.clip(make.tone(1.0, level=2.0), -1, 1)
    share = float(np.mean(np.abs(sound) >= 1))
    assert share > 0.5
    clipped = media.decode_audio(make.wav(sound, bits=bits)).clipped
    assert clipped == pytest.approx(share, abs=0.02)
    assert media.decode_audio(make.wav(make.tone(level=0.9), bits=bits)).clipped == 0


def test_clipping_survives_lossy_coding():
    sound = np.clip(make.tone(1.0, level=3.0), -1, 1)
    assert media.decode_audio(make.recording("mp3", sound)).clipped > 0.02
    assert media.decode_audio(make.recording("mp3", make.tone(level=0.8))).clipped == 0


def test_samples_that_are_no_numbers_become_silence():
    sound = make.tone(0.5, rate=16_000)
    sound[::100], sound[1::100], sound[2::100] = np.nan, np.inf, 1e30
    recording = media.decode_audio(make.wav(sound, rate=16_000, bits=32, floating=True))
    assert np.isfinite(recording.samples).all()
    assert level(recording.samples) == pytest.approx(0.354, rel=0.05)
    nothing = np.full(16_000, np.nan)
    data = make.wav(nothing, rate=16_000, bits=32, floating=True)
    assert code_of(media.decode_audio, data) == "silent"


def test_floats_on_the_scale_of_integers_are_brought_to_one():
    sound = make.tone(0.5, rate=16_000) * 32768
    recording = media.decode_audio(make.wav(sound, rate=16_000, bits=32, floating=True))
    assert np.abs(recording.samples).max() == pytest.approx(1)
    assert recording.clipped == 0


def test_videos_are_heard():
    recording = media.decode_audio(make.video())
    assert loudest_hertz(recording.samples) == pytest.approx(440, abs=2)
    assert code_of(media.decode_audio, make.video(sound=False)) == "no_audio"


def test_fragmented_mp4_as_browsers_record_it():
    data = make.recording(
        "m4a", make.tone(2.0), movflags="frag_keyframe+empty_moov", frag_duration="200000"
    )
    assert media.decode_audio(data).duration == pytest.approx(2.0, abs=0.1)
    half = media.decode_audio(data[: len(data) // 2]).duration
    assert 0.3 < half < 1.5


def test_short_and_silent_recordings_are_refused():
    assert code_of(media.decode_audio, make.wav(make.tone(0.05))) == "too_short"
    assert code_of(media.decode_audio, make.wav(np.zeros(0))) == "too_short"
    assert code_of(media.decode_audio, make.wav(np.zeros(48_000))) == "silent"
    assert code_of(media.decode_audio, make.wav(make.tone(level=0.0005))) == "silent"
    offset = np.full(48_000, 0.3)
    assert code_of(media.decode_audio, make.wav(offset)[:-2000]) == "silent"
    assert media.decode_audio(make.wav(make.tone(level=0.004))).duration == 1


@pytest.mark.parametrize("container", ["wav", "flac", "mp3"])
def test_long_recordings_are_refused_early(container, monkeypatch):
    sound = make.tone(4.0, rate=16_000)
    data = (
        make.wav(sound, rate=16_000)
        if container == "wav"
        else make.recording(container, sound, rate=16_000)
    )
    decoded = []
    add = media._Collector.add

    def add_and_count(self, frame):
        decoded.append(frame.samples)
        add(self, frame)

    monkeypatch.setattr(media._Collector, "add", add_and_count)
    monkeypatch.setattr(limits, "MAX_AUDIO_SECONDS", 1.0)
    assert code_of(media.decode_audio, data) == "too_long"
    assert sum(decoded) < 1.5 * 16_000


def test_two_hours_are_refused_without_much_memory():
    two_hours = 7200 * 4000
    data = make.wav_header(two_hours, rate=4000, bits=8) + b"\x80" * two_hours
    tracemalloc.start()
    try:
        assert code_of(media.decode_audio, data) == "too_long"
        assert tracemalloc.get_traced_memory()[1] < 4 * len(data)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100])
def test_exactly_as_long_as_allowed_is_not_too_long(rate, monkeypatch):
    monkeypatch.setattr(limits, "MAX_AUDIO_SECONDS", 60)
    sound = np.tile(make.tone(1.0, rate=rate), 60)
    assert media.decode_audio(make.wav(sound, rate=rate)).duration == pytest.approx(60, abs=0.01)
    longer = np.append(sound, sound[:1])
    assert code_of(media.decode_audio, make.wav(longer, rate=rate)) == "too_long"


@pytest.mark.parametrize("source", [5, True, None, np.zeros((4, 4, 3), np.uint8), ["a.jpg"]])
def test_what_is_neither_a_path_nor_bytes_is_a_mistake(source: Any) -> None:
    with pytest.raises(TypeError, match="path of a file, or its content"):
        media.read(source)


def test_bytes_of_any_kind_are_read():
    kinds: list[Any] = [bytes, bytearray, memoryview]
    for kind in kinds:
        assert media.read(kind(b"content")) == (b"content", media.UNNAMED)


@pytest.mark.parametrize(
    ("wanted", "told", "not_told"),
    [("image", "use a picture (JPEG", "recording"), ("audio", "use a recording (WAV", "WebP"),
     (None, "use a picture (JPEG, PNG, WebP, BMP or GIF) or a recording (WAV", "neither")],
)  # fmt: skip
def test_only_what_is_of_use_is_recommended(wanted: Any, told: str, not_told: str) -> None:
    with pytest.raises(DuetError) as caught:
        media.sniff(b"some text", "a.jpg", wanted)
    assert told in caught.value.message
    assert not_told not in caught.value.message.replace("not a picture or a recording", "")
    assert media.sniff(make.wav(make.tone(0.5)), "a.wav", wanted) == "audio"


def test_no_name_is_no_file():
    assert code_of(media.read, "") == "not_found"


@pytest.mark.parametrize("remake", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_an_error_gets_from_one_process_to_another(remake):
    error = remake(DuetError("empty", "It is empty."))
    assert (error.code, error.message, str(error)) == ("empty", "It is empty.", "It is empty.")


def test_too_many_values_are_too_long(monkeypatch):
    monkeypatch.setattr(limits, "MAX_AUDIO_VALUES", 90_000)
    assert media.decode_audio(make.wav(make.tone(1.0))).duration == 1
    assert code_of(media.decode_audio, make.wav(np.stack([make.tone(1.0)] * 2))) == "too_long"


def test_sound_cut_to_splinters_is_damaged(monkeypatch):
    monkeypatch.setattr(limits, "MAX_AUDIO_PACKETS", 100)
    assert media.decode_audio(make.recording("ogg", make.tone(1.0))).duration == 1
    assert code_of(media.decode_audio, make.recording("ogg", make.tone(3.0))) == "damaged"


@pytest.mark.parametrize(
    ("rate", "codes"),
    [(0, {"damaged"}), (1, {"unsupported"}), (3_999, {"unsupported"}), (4 * 10**9, {"damaged"})],
)
def test_senseless_rates_are_refused(rate, codes):
    data = make.wav_header(10_000, rate=rate) + make.noise_bytes(10_000)
    assert code_of(media.decode_audio, data) in codes


def test_senseless_channels_are_refused():
    data = make.wav_header(10_000, channels=60_000) + make.noise_bytes(10_000)
    assert code_of(media.decode_audio, data) == "damaged"


@pytest.mark.parametrize("stated", [0, 10**9, 2**32 - 1])
def test_headers_that_lie_about_the_length_do_not_matter(stated):
    content = make.wav(make.tone(1.0))[44:]
    assert media.decode_audio(make.wav_header(stated) + content).duration == 1


@pytest.mark.parametrize("container", [*make.CONTAINERS, "wav"])
def test_recordings_that_break_off_are_used_as_far_as_they_go(container):
    sound = make.tone(4.0)
    data = make.wav(sound) if container == "wav" else make.recording(container, sound)
    half = data[: len(data) // 2]
    if container == "m4a":  # its index is at the end
        assert code_of(media.decode_audio, half) == "damaged"
    else:
        recording = media.decode_audio(half)
        assert 0.8 < recording.duration < 3.2
        assert loudest_hertz(recording.samples) == pytest.approx(440, abs=5)
    assert code_of(media.decode_audio, data[:30]) in ("damaged", "too_short", "no_audio")


@pytest.mark.parametrize("start", [b"OggS", b"fLaC", b"\x1a\x45\xdf\xa3", b"ID3\4\0\0\0\0\0\0"])
def test_nothing_decodable_is_damaged(start):
    assert code_of(media.decode_audio, start + make.noise_bytes(3000)) in ("damaged", "no_audio")


@pytest.mark.parametrize("rate", [48_000, 44_100, 32_000, 24_000, 16_000, 8000])
@pytest.mark.parametrize("before", [b"", b"\0" * 700, b"\xff\xfb\x90\x00 no frame \xff\xff"])
def test_an_mp3_may_begin_in_the_middle_of_a_frame(rate: int, before: bytes) -> None:
    whole = make.recording("mp3", make.tone(3.0, rate=rate), rate=rate)
    data = before + whole[len(whole) // 4 + 3 :]
    assert media.sniff(data) == "audio"
    assert 1.8 < media.decode_audio(data).duration < 2.6


def test_what_only_looks_like_an_mp3_somewhere_is_none() -> None:
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("a.mp3", make.recording("mp3", make.tone(1.0)))
    frame = b"\xff\xfb\x90\x00" + b"\0" * 414  # of 128 kbit/s at 44.1 kHz: 417 bytes
    for data in (zipped.getvalue(), b"?" + 3 * frame, b"?" + 9 * frame[:-2], b"\xff" * 20_000):
        with pytest.raises(DuetError) as caught:
            media.sniff(data)
        assert caught.value.code == "unsupported"
    for seed in range(50):
        assert media._demuxer(b"?" + make.noise_bytes(20_000, seed)) is None


def test_a_tagged_mp3_decodes():
    tag = b"ID3\4\0\0\0\0\2\0" + bytes(256)
    data = tag + make.recording("mp3", make.tone(1.0))
    assert media.sniff(data) == "audio"
    assert media.decode_audio(data).duration == pytest.approx(1.0, abs=0.06)


def test_playlists_are_not_followed(tmp_path):
    """FFmpeg would read the files that a playlist names, if it were left to guess."""
    target = tmp_path / "secret.wav"
    target.write_bytes(make.wav(make.tone()))
    for playlist in (
        f"#EXTM3U\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile {target}\n",
    ):
        assert code_of(media.decode_audio, playlist.encode()) == "unsupported"


# --- whatever comes ----------------------------------------------------------------------------

PICTURES = [make.picture(f) for f in ("JPEG", "PNG", "WEBP", "BMP", "GIF")]
RECORDINGS = [make.wav(make.tone(0.4, rate=8000), rate=8000)] + [
    make.recording(c, make.tone(0.4)) for c in make.CONTAINERS
]
STARTS = [data[:16] for data in [*PICTURES, *RECORDINGS]]


def decode_anything(data: bytes) -> None:
    """Either a well-formed result or a `DuetError`."""
    for decode in (media.decode_image, media.decode_audio):
        try:
            result = decode(data)
        except DuetError:
            continue
        if isinstance(result, media.Picture):
            assert result.pixels.dtype == np.uint8
            assert min(result.pixels.shape[:2]) >= limits.MIN_IMAGE_SIDE
            assert max(result.pixels.shape[:2]) <= limits.WORKING_IMAGE_SIDE
        else:
            assert np.isfinite(result.samples).all()
            assert np.abs(result.samples).max() <= 1
            assert limits.MIN_AUDIO_SECONDS <= result.duration <= limits.MAX_AUDIO_SECONDS + 1
            assert 0 <= result.clipped <= 1


@settings(max_examples=80, deadline=None)
@given(start=st.sampled_from([b"", *STARTS]), rest=st.binary(max_size=600))
def test_random_bytes(start, rest):
    decode_anything(start + rest)


@settings(max_examples=150, deadline=None)
@given(
    data=st.sampled_from([*PICTURES, *RECORDINGS]),
    places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=20),
    in_header=st.booleans(),
    end=st.floats(0.2, 1),
)
def test_mutated_files(data, places, in_header, end):
    rotten = bytearray(data)
    reach = min(200, len(rotten)) if in_header else len(rotten)
    for place, value in places:
        rotten[min(int(place * reach), len(rotten) - 1)] = value
    decode_anything(bytes(rotten[: max(1, int(end * len(rotten)))]))


def test_decoders_write_nothing_to_stderr():
    """In a process of its own, since FFmpeg writes past Python's stderr."""
    program = """
import sys
from core import media
from tests import media_makers as make
for data in [make.recording(c, make.tone(0.5)) for c in ("ogg", "mp3", "m4a", "webm", "flac")]:
    rotten = data[: len(data) // 3] + make.noise_bytes(500) + data[len(data) // 2 :]
    for content in (data, rotten, data[: len(data) // 2]):
        try:
            media.decode_audio(content)
        except media.DuetError:
            pass
for data in (make.png_claiming(9500, 9500), make.picture("JPEG")[:300]):
    try:
        media.decode_image(data)
    except media.DuetError:
        pass
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")


def test_libraries_are_imported_on_first_use():
    program = "import sys, core.media; print({'av', 'PIL', 'librosa', 'cv2'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "set()"
