"""What a picture or a recording looks like on a page; made once, remembered for the session."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from core.results import FaceResult, ImageResult, VoiceResult
from core.ui import charts, engine, keep, pictures
from core.ui.engine import Trouble
from core.ui.keep import Media
from core.ui.looks import LOOKS
from core.words import percent

T = TypeVar("T")

MAX_VIEWS = 3
"""Views a session keeps, those shown last: ten minutes of sound take 19 MB each."""


@dataclass(frozen=True)
class PictureView:
    """The picture at the size it is shown."""

    jpeg: bytes
    scale: float
    """Its size relative to the analysed picture."""

    def pixels(self) -> NDArray[np.uint8]:
        """uint8 (height, width, 3) RGB."""
        import cv2

        data = np.frombuffer(self.jpeg, np.uint8)
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)


@dataclass(frozen=True)
class SoundView:
    """A recording reduced to what fits on a screen, and as a WAV file that every browser plays."""

    lowest: NDArray[np.float32]
    highest: NDArray[np.float32]
    mel: NDArray[np.float32]
    """(columns, bands): dB."""
    mfcc: NDArray[np.float32]
    """(columns, coefficients): standard deviations from the recording's mean."""
    wav: bytes


def _picture(media: Media) -> PictureView | Trouble:
    def job() -> PictureView:
        from core.media import decode_image

        image, scale = pictures.to_show(decode_image(media.data, media.name))
        return PictureView(pictures.jpeg(image), scale)

    return _kept(media, job)


def _sound(media: Media) -> SoundView | Trouble:
    def job() -> SoundView:
        from core.media import decode_audio
        from core.ui.samples import wav
        from core.voice.features import log_mel_spectrogram, mfcc

        samples = decode_audio(media.data, media.name).samples
        lowest, highest = charts.envelope(samples)
        return SoundView(
            lowest,
            highest,
            charts.columns(log_mel_spectrogram(samples)),
            charts.columns(charts.standardised(mfcc(samples))),
            wav(samples),
        )

    return _kept(media, job)


def _kept(media: Media, job: Callable[[], T]) -> T | Trouble:
    key = ("view", media.id)
    return keep.remembered(key, lambda: engine.attempt(job), engine.worth_keeping, MAX_VIEWS)


def marked(media: Media, result: ImageResult, chosen: int, mirrored: bool) -> None:
    """The picture with every face marked and named."""
    view = _picture(media)
    if isinstance(view, Trouble):
        engine.show_trouble(view, f"view_trouble_{media.id}")
        return
    image = pictures.mark(view.pixels(), result.faces, view.scale, chosen, mirrored)
    count = len(result.faces)
    people = "1 face" if count == 1 else f"{count} faces"
    names = ", ".join(
        f"{face.emotion.label} {percent(face.emotion.confidence)}" for face in result.faces
    )
    as_mirror = ", as in a mirror" if mirrored else ""
    st.image(
        pictures.jpeg(image),
        width="stretch",
        caption=f"{people} found{as_mirror}",
        alt=f"The picture with {people} marked: {names}",
    )


def attention(media: Media, face: FaceResult, emotion: str, mirrored: bool) -> None:
    """Where on the face the evidence for `emotion` lies."""
    view = _picture(media)
    if isinstance(view, Trouble):
        return  # said above the picture already
    image, place = pictures.attention(view.pixels(), face, view.scale, emotion, mirrored)
    st.markdown(f"**{place}**")
    st.image(pictures.jpeg(image), width=pictures.CROP_SIDE, alt=f"Attention map. {place}.")


def framed(face: FaceResult) -> None:
    """The face as the model saw it."""
    large = np.kron(face.framed, np.ones((4, 4), np.uint8))
    st.image(
        pictures.jpeg(np.repeat(large[..., np.newaxis], 3, axis=2)),
        width=192,
        caption="The face as the model saw it: 48 x 48 grey pixels",
        alt="The face, cut out, levelled and reduced to 48 by 48 grey pixels",
    )


def player(media: Media, result: VoiceResult, *, whole_only: bool = False) -> None:
    """Play the recording, or only a moment of it."""
    view = _sound(media)
    if isinstance(view, Trouble):
        engine.show_trouble(view, f"view_trouble_{media.id}")
        return
    played = view.wav
    if not whole_only and result.moments and result.duration > 2:
        moments = list(result.moments[:3])
        chosen = st.segmented_control(
            "Play",
            range(len(moments) + 1),
            default=0,
            required=True,
            format_func=lambda index: "Whole" if index == 0 else f"Moment {index}",
            key=f"play_{media.id}",
        )
        if chosen:
            played = piece(view.wav, moments[chosen - 1].start, moments[chosen - 1].end)
    st.audio(played, format="audio/wav")


def piece(data: bytes, start: float, end: float) -> bytes:
    """The part of a WAV file from `start` to `end`, in seconds, as a WAV file.

    `st.audio` could play a part as well, but only from one whole second to another.
    """
    cut = io.BytesIO()
    with wave.open(io.BytesIO(data)) as whole, wave.open(cut, "wb") as file:
        file.setparams(whole.getparams())
        rate, length = whole.getframerate(), whole.getnframes()
        first = min(round(start * rate), length)
        whole.setpos(first)
        file.writeframes(whole.readframes(max(0, round(end * rate) - first)))
    return cut.getvalue()


def moments(result: VoiceResult) -> None:
    """The stretches that carried the answer, in words."""
    if not result.moments:
        return
    first = result.moments[0]
    st.html(
        f'<p class="duet-finding">{first.share:.0%} of the attention fell on '
        f"{first.start:.1f} to {first.end:.1f} s</p>"
        + "".join(
            f'<div class="duet-moment"><span>{number}</span><b>{m.start:.1f} to {m.end:.1f} s</b>'
            f'<div class="duet-track" style="flex:1;--c:{LOOKS[result.emotion.label].colour}">'
            f'<i style="width:{100 * min(1.0, m.share):.0f}%"></i></div>'
            f"<span>{m.share:.0%}, "
            f"{'for' if m.contribution >= 0 else 'against'} {result.emotion.label}</span></div>"
            for number, m in enumerate(result.moments[:3], 1)
        )
    )


def waveform(media: Media, result: VoiceResult) -> None:
    """The recording with speech shaded and the moments framed."""
    view = _sound(media)
    if isinstance(view, Trouble):
        return  # said beside the player already
    charts.show(charts.waveform(view.lowest, view.highest, result), f"waveform_{media.id}")
    st.caption("Shaded: speech. Framed and numbered: the moments that mattered most.")


def timeline(result: VoiceResult) -> None:
    """The emotion over time, for recordings longer than one window."""
    heard = [point for point in result.timeline if point.emotion]
    if len(heard) < 2:
        st.caption("A recording of more than 3 s of speech also gets a timeline.")
        return
    charts.show(charts.timeline(result.timeline, result.duration), "timeline")


def sound(media: Media, result: VoiceResult) -> None:
    """Attention, log-mel spectrogram and MFCC over the same time."""
    from core.voice.features import mel_centres

    view = _sound(media)
    if isinstance(view, Trouble):
        return
    figures = {"mel": charts.spectrogram(view.mel, mel_centres(), result.duration),
               "mfcc": charts.cepstrum(view.mfcc, result.duration)}  # fmt: skip
    if len(result.attention):
        figures = {"attention": charts.attention(result), **figures}
    for name, figure in figures.items():
        charts.show(figure, f"{name}_{media.id}")
    st.caption(
        "dB: relative to full scale. SD: standard deviations from each coefficient's mean over "
        "the recording."
    )
