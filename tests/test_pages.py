"""The pages without a browser: every state renders, faults become sentences, results stay."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import streamlit as st
from PIL import Image
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.testing.v1 import AppTest

import core
from core import models
from core.errors import DuetError
from core.labels import EMOTIONS
from core.limits import MAX_FILE_BYTES
from core.media import Picture, decode_audio, decode_image, sniff
from core.results import (
    Box,
    FaceResult,
    HybridResult,
    ImageResult,
    Landmarks,
    Moment,
    Prediction,
    QualityNote,
    TimelinePoint,
    VoiceResult,
)
from core.ui import cards, charts, engine, exports, keep, looks, pictures, samples, views
from core.ui.keep import Media
from core.words import percent

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("home", "face", "voice", "hybrid", "live")


# --- stand-ins for the models -------------------------------------------------------------------


def prediction(label: str, confidence: float = 0.8) -> Prediction:
    rest = (1 - confidence) / 6
    return Prediction(tuple(confidence if name == label else rest for name in EMOTIONS))


def face_result(label: str, x: float = 100, confidence: float = 0.8) -> FaceResult:
    evidence = np.zeros((6, 6, 7), np.float32)
    evidence[4, 2:4, EMOTIONS.index(label)] = 3
    return FaceResult(
        box=Box(x, 120, 100, 130),
        landmarks=Landmarks(
            (x + 25, 170), (x + 75, 170), (x + 50, 195), (x + 30, 220), (x + 70, 220)
        ),
        detection_score=0.93,
        emotion=prediction(label, confidence),
        quality=(QualityNote("blurred", "The face is blurred; hold the camera still."),),
        framed=np.full((48, 48), 128, np.uint8),
        evidence=evidence,
        to_frame=np.array([[0.37, 0, -0.37 * x + 5], [0, 0.37, -45.0]]),
    )


def voice_result(label: str, name: str = "sound", confidence: float = 0.7) -> VoiceResult:
    starts = np.arange(0, 3, 0.5)
    points = [TimelinePoint(s, s + 3, prediction(label)) for s in starts.tolist()]
    return VoiceResult(
        source=name,
        duration=5.0,
        speech=((0.2, 2.0), (2.5, 4.8)),
        model="fake-voice",
        emotion=prediction(label, confidence),
        timeline=(*points, TimelinePoint(3.0, 6.0, None)),
        moments=(Moment(1.0, 1.6, 0.5, 1.2), Moment(3.0, 3.4, 0.2, -0.3)),
        quality=(),
        attention_times=np.linspace(0, 5, 40, dtype=np.float32),
        attention=np.full(40, 1 / 40, np.float32),
        milliseconds={"decode": 1.0, "total": 3.0},
    )


@pytest.fixture(autouse=True)
def no_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections need a running server; here there is none."""
    from core.ui import live

    idle = SimpleNamespace(state=SimpleNamespace(playing=False, signalling=False))
    monkeypatch.setattr(live, "webrtc_streamer", lambda *_, **__: idle)


CRASH = b"\x89PNG\r\n\x1a\n crash"


class FakeAnalysis:
    """Takes the place of `core.analyze`; answers from real decoding and made-up numbers."""

    face = staticmethod(face_result)

    def __init__(self) -> None:
        self.calls: list[tuple[str, str | None]] = []
        self.faces = 1

    def __call__(
        self,
        source: bytes,
        *,
        name: str | None = None,
        face_model: str | None = None,
        voice_model: str | None = None,
        faces: str = "detect",
    ) -> ImageResult | VoiceResult:
        self.calls.append((name or "", face_model or voice_model))
        if source == CRASH:
            raise RuntimeError("a defect with /a/secret/path")
        if sniff(source, name or "") == "audio":
            decode_audio(source, name or "")
            return voice_result("sad", name or "")
        picture = decode_image(source, name or "")
        if picture.pixels.std() < 1:
            raise DuetError("no_face", f"No face was found in {name}; choose another picture.")
        found = tuple(self.face(EMOTIONS[3 - i], 60 + 130 * i) for i in range(self.faces))
        height, width = picture.pixels.shape[:2]
        return ImageResult(
            name or "",
            width,
            height,
            "yunet",
            face_model or "",
            found,
            {"total": 9.0},
            *picture.original_size,
        )


def fake_fuse(image: ImageResult, voice: VoiceResult, face: int = 0) -> HybridResult:
    return HybridResult(
        face=image.faces[face],
        voice=voice,
        agreement="none",
        sentence="Face and voice disagree: the face seems happy, the voice sad.",
        fused=prediction("happy", 0.45),
        weights={"face": 0.6, "voice": 0.4},
        method="certainty",
        picture=image,
        number=face + 1,
    )


def info(name: str, task: models.Task) -> models.ModelInfo:
    return models.ModelInfo(
        name=name,
        task=task,
        title=name.replace("-", " ").title(),
        architecture="a stand-in",
        parameters=1_500_000,
        default=True,
        temperature=1.0,
        sha256=hashlib.sha256(name.encode()).hexdigest(),
        bytes=1_600_000,
        folder=Path("/nowhere") / name,
        card={},
    )


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


@pytest.fixture
def no_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(models, "MODELS_FOLDER", tmp_path)
    return tmp_path


@pytest.fixture
def analysis(monkeypatch: pytest.MonkeyPatch) -> FakeAnalysis:
    fake = FakeAnalysis()
    known = [info("fake-face", "face"), info("other-face", "face"), info("fake-voice", "voice")]
    monkeypatch.setattr(core, "analyze", fake)
    monkeypatch.setattr(core, "fuse", fake_fuse)
    monkeypatch.setattr(models, "installed", lambda folder=None: (known, []))
    monkeypatch.setattr(models, "load", lambda found: found)
    return fake


# --- driving the pages --------------------------------------------------------------------------


def start(page: str = "home") -> AppTest:
    app = AppTest.from_file(str(ROOT / "Home.py"), default_timeout=60).run()
    return app if page == "home" else go(app, page)


def go(app: AppTest, page: str) -> AppTest:
    app.switch_page(f"pages/{page}.py").run()
    calm(app)
    return app


def calm(app: AppTest) -> None:
    assert not app.exception, [e.message for e in app.exception]


def words(app: AppTest) -> str:
    """Everything a person can read on the page."""
    elements = [*app.markdown, *app.caption, *app.title, *app.subheader, *app.warning, *app.info]
    pieces = (re.sub("<[^>]+>", "", str(e.proto.body)) for e in app.get("html"))
    return "\n".join([*(e.value for e in elements), *pieces])


def upload(app: AppTest, shelf: str, *files: tuple[str, bytes]) -> AppTest:
    app.button_group(key=f"{shelf}_way").set_value("Upload").run()
    (field,) = [u for u in app.file_uploader if (u.key or "").startswith(f"{shelf}_upload_")]
    many = shelf in ("face", "voice")
    kind = "application/octet-stream"
    values = [(name, data, kind) for name, data in files]
    field.set_value(values if many else values[0]).run()
    calm(app)
    return app


def flat_picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (90, 90, 90)).save(buffer, "PNG")
    return buffer.getvalue()


FACE = ("face.jpg", samples.drawn_face().data)
VOICE = ("voice.wav", samples.synthetic_voice().data)


def test_a_link_to_a_page_goes_through_home(no_models: Path) -> None:
    app = AppTest.from_file(str(ROOT / "Home.py"), default_timeout=60)
    app.switch_page("pages/face.py").run()
    calm(app)
    assert "No picture yet" in words(app)
    assert ".duet-answer" in "".join(str(e.proto.body) for e in app.get("html"))  # the style


# --- without models, with broken ones -----------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_every_page_stands_without_any_model(no_models: Path, page: str) -> None:
    app = start(page)
    calm(app)
    if page == "home":
        assert "No face model is installed yet" in words(app)
        assert "No voice model is installed yet" in words(app)


def test_a_picture_without_a_model_gets_a_sentence(no_models: Path) -> None:
    app = upload(start("face"), "face", FACE)
    assert "No face model is installed yet" in words(app)
    assert "unknown_model" in words(app)


@pytest.mark.parametrize("page", PAGES)
def test_a_broken_model_folder_is_named_and_hurts_nothing(no_models: Path, page: str) -> None:
    (no_models / "face-cnn").mkdir()
    (no_models / "face-cnn" / "model.json").write_text("{")
    app = start(page)
    calm(app)
    if page == "home":
        assert "is not valid JSON" in words(app)
        assert str(no_models.parent) not in words(app).replace("\\", "")


# --- answers ------------------------------------------------------------------------------------


def test_the_answer_comes_with_certainty_reason_and_downloads(analysis: FakeAnalysis) -> None:
    app = upload(start("face"), "face", FACE)
    text = words(app)
    assert "Looks happy · 80% sure" in text
    assert "Next most likely" in text
    assert "The face is blurred" in text
    assert "What speaks most for happy lies around the mouth" in text
    assert "calibrated" not in text  # nobody has measured the stand-in
    assert [button.label for button in app.download_button] == [
        "Download JSON",
        "Download CSV",
    ]


def test_a_model_that_knows_no_places_shows_no_map(
    analysis: FakeAnalysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def whole(label: str, *_: float) -> FaceResult:
        return replace(face_result(label), evidence=np.ones((1, 1, 7), np.float32))

    monkeypatch.setattr(FakeAnalysis, "face", staticmethod(whole))
    app = upload(start("face"), "face", FACE)
    text = words(app)
    assert "Looks happy" in text
    assert "`fake-face` looks at the face as a whole" in text
    assert "What speaks most" not in text
    assert not [box for box in app.selectbox if (box.key or "").startswith("evidence_")]


def test_details_of_a_reduced_picture_state_both_sizes(analysis: FakeAnalysis) -> None:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(FACE[1])) as face:
        face.resize((2400, 2400 * face.height // face.width)).save(buffer, "JPEG")
        height = 2400 * face.height // face.width
    app = upload(start("face"), "face", ("large.jpg", buffer.getvalue()))
    text = words(app)
    assert f"Picture: 2400 x {height} px, analysed at 1920 x {height * 4 // 5} px; detec" in text
    assert "from the top left of the analysed picture)" in text
    assert "camera" not in text.split("Box: ")[1].split("\n")[0]


def test_details_speak_of_the_camera_where_it_took_the_picture(analysis: FakeAnalysis) -> None:
    app = start("face")
    app.camera_input(key="face_camera").set_value(("shot.jpg", FACE[1], "image/jpeg")).run()
    calm(app)
    text = words(app)
    assert "as the camera took it" in text
    assert "analysed at" not in text


def test_the_emotion_that_was_asked_about_stays(analysis: FakeAnalysis) -> None:
    app = upload(start("face"), "face", FACE)
    (asked,) = [box for box in app.selectbox if (box.key or "").startswith("evidence_")]
    asked.set_value("fear").run()
    assert "What speaks most for happy" not in words(app)
    before = words(app)
    go(app, "home")
    assert words(go(app, "face")) == before


def test_a_voice_gets_its_moments_and_charts(analysis: FakeAnalysis) -> None:
    app = upload(start("voice"), "voice", VOICE)
    text = words(app)
    assert "Sounds sad · 70% sure" in text
    assert "50% of the attention fell on 1.0 to 1.6 s" in text
    assert len(app.get("plotly_chart")) == 5  # waveform, timeline, attention, mel, MFCC


def test_a_moment_is_played_as_long_as_it_is(
    analysis: FakeAnalysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    played: list[bytes] = []
    monkeypatch.setattr(st, "audio", lambda data, **_: played.append(data))
    app = upload(start("voice"), "voice", VOICE)
    (choice,) = [g for g in app.button_group if (g.key or "").startswith("play_")]
    choice.set_value(1).run()
    calm(app)
    whole, moment = (decode_audio(data, "played").samples for data in (played[0], played[-1]))
    assert len(whole) == len(decode_audio(VOICE[1], "voice").samples)
    assert len(moment) == round(0.6 * 16_000)
    np.testing.assert_allclose(moment, whole[16_000 : 16_000 + len(moment)], atol=1e-4)


def test_one_rotten_file_does_not_hide_the_others(analysis: FakeAnalysis) -> None:
    files = [("text.png", b"just text"), FACE, ("grey.png", flat_picture()), ("empty.png", b"")]
    app = upload(start("face"), "face", *files)
    ids = {item.name: item.id for item in keep_of(app, "face")}
    assert set(ids) == {name for name, _ in files}
    for name, found in (
        ("text.png", "unsupported"),
        ("grey.png", "no_face"),
        ("empty.png", "unsupported"),
        ("face.jpg", "Looks happy"),
    ):
        app.selectbox(key="face_pick").set_value(ids[name]).run()
        calm(app)
        text = words(app)
        assert found in text or (name == "empty.png" and "error code: empty" in text)
    for why in ("unsupported", "no face", "empty"):
        assert f"no answer: {why}" in words(app)


def test_a_defect_is_a_calm_sentence_not_a_traceback(analysis: FakeAnalysis) -> None:
    app = upload(start("face"), "face", ("odd.png", CRASH))
    text = words(app)
    assert "Something went wrong on our side" in text
    assert "secret" not in text
    assert "RuntimeError" not in text


def test_a_recording_on_the_face_page_is_sent_to_the_voice_page(analysis: FakeAnalysis) -> None:
    app = upload(start("face"), "face", ("voice.png", VOICE[1]))
    assert "open it on the Voice page" in words(app)


def test_several_faces_are_chosen_by_number(analysis: FakeAnalysis) -> None:
    analysis.faces = 2
    app = upload(start("face"), "face", FACE)
    assert "Looks happy" in words(app)
    (choice,) = [g for g in app.button_group if (g.key or "").startswith("face_choice")]
    choice.set_value(1).run()
    calm(app)
    assert "Looks fearful" in words(app)


# --- nothing gets lost --------------------------------------------------------------------------


def keep_of(app: AppTest, shelf: str) -> list[Media]:
    items: list[Media] = app.session_state["duet.shelves"].get(shelf, [])
    return items


def test_results_survive_leaving_the_page_without_a_second_analysis(
    analysis: FakeAnalysis,
) -> None:
    app = upload(start("face"), "face", FACE)
    upload(go(app, "voice"), "voice", VOICE)
    calls = list(analysis.calls)
    for page, answer in (("home", "Duet"), ("face", "Looks happy"), ("voice", "Sounds sad")):
        assert answer in words(go(app, page))
    assert analysis.calls == calls


def test_another_model_reads_the_kept_picture_again(analysis: FakeAnalysis) -> None:
    app = upload(start("face"), "face", FACE)
    app.selectbox(key="face_model").set_value("other-face").run()
    calm(app)
    assert analysis.calls == [("face.jpg", "fake-face"), ("face.jpg", "other-face")]
    assert "Looks happy" in words(app)
    go(go(app, "home"), "face")
    assert app.selectbox(key="face_model").value == "other-face"
    app.selectbox(key="face_model").set_value("fake-face").run()
    assert len(analysis.calls) == 2  # the first answer was kept


@pytest.mark.parametrize(
    ("page", "file", "name"), [("face", FACE, "fake-face"), ("voice", VOICE, "fake-voice")]
)
def test_another_model_of_the_same_name_reads_the_kept_file_again(
    analysis: FakeAnalysis,
    monkeypatch: pytest.MonkeyPatch,
    page: str,
    file: tuple[str, bytes],
    name: str,
) -> None:
    app = upload(start(page), page, file)
    app.run()
    assert analysis.calls == [(file[0], name)]
    known = [replace(one, sha256="another") for one in models.installed()[0]]
    monkeypatch.setattr(models, "installed", lambda folder=None: (known, []))
    app.run()
    calm(app)
    assert analysis.calls == [(file[0], name)] * 2


def test_models_of_one_title_are_told_apart(
    analysis: FakeAnalysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = [replace(one, title="A network") for one in models.installed()[0]]
    known.append(replace(info("third-face", "face"), title="Another"))
    monkeypatch.setattr(models, "installed", lambda folder=None: (known, []))
    app = upload(start("face"), "face", FACE)
    choice = app.selectbox(key="face_model")
    assert choice.options == ["A network (fake-face)", "A network (other-face)", "Another"]
    choice.set_value("other-face").run()
    calm(app)
    assert analysis.calls[-1] == ("face.jpg", "other-face")


def test_home_names_the_model_that_the_session_chose(analysis: FakeAnalysis) -> None:
    app = start()
    (used,) = [line for line in words(app).splitlines() if "(in use)" in line]
    assert used.startswith("**Fake Face**")
    upload(go(app, "face"), "face", FACE)
    app.selectbox(key="face_model").set_value("other-face").run()
    (used,) = [line for line in words(go(app, "home")).splitlines() if "(in use)" in line]
    assert used.startswith("**Other Face**")


def test_a_model_is_loaded_only_when_it_is_chosen(
    analysis: FakeAnalysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(models, "load", lambda found: loaded.append(found.name))
    app = upload(start("face"), "face", FACE)
    engine.warm().result(timeout=10)
    for page in ("home", "voice", "face"):
        go(app, page)
    assert "fake-face" in loaded
    assert "other-face" not in loaded
    app.selectbox(key="face_model").set_value("other-face").run()
    calm(app)
    assert loaded[-1] == "other-face"


def test_changing_the_way_in_keeps_the_result(analysis: FakeAnalysis) -> None:
    app = upload(start("face"), "face", FACE)
    app.button_group(key="face_way").set_value("Camera").run()
    calm(app)
    assert "Looks happy" in words(app)
    assert not app.camera_input  # off until asked for
    app.button(key="face_again").click().run()
    assert len(app.camera_input) == 1
    app.button(key="face_close").click().run()
    assert not app.camera_input


def test_an_open_camera_does_not_open_again_by_itself(analysis: FakeAnalysis) -> None:
    app = upload(start("face"), "face", FACE)
    for leave in ("page", "way"):
        app.button_group(key="face_way").set_value("Camera").run()
        app.button(key="face_again").click().run()
        assert app.camera_input
        if leave == "page":
            go(go(app, "home"), "face")
        else:
            app.button_group(key="face_way").set_value("Upload").run()
            app.button_group(key="face_way").set_value("Camera").run()
        assert not app.camera_input


def test_the_first_camera_can_be_closed_and_opened(no_models: Path) -> None:
    app = start("face")
    assert app.camera_input
    app.button(key="face_close").click().run()
    assert not app.camera_input
    app.button(key="face_open").click().run()
    assert app.camera_input


def test_a_camera_picture_is_taken_over_and_the_camera_goes_off(analysis: FakeAnalysis) -> None:
    app = start("face")
    app.camera_input(key="face_camera").set_value(("shot.jpg", FACE[1], "image/jpeg")).run()
    calm(app)
    assert "Looks happy" in words(app)
    assert not app.camera_input
    assert keep_of(app, "face")[0].origin == "camera"
    app.toggle(key="mirror").set_value(False).run()
    calm(app)
    assert "Looks happy" in words(app)
    assert len(analysis.calls) == 1


def test_a_recording_is_taken_over(analysis: FakeAnalysis) -> None:
    app = start("voice")
    app.audio_input(key="voice_microphone_0").set_value(("a.wav", VOICE[1], "audio/wav")).run()
    calm(app)
    assert "Sounds sad" in words(app)
    assert app.audio_input(key="voice_microphone_0").value  # goes on showing it


@pytest.fixture
def gone(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Files that Streamlit was told to forget."""
    found: list[str] = []
    monkeypatch.setattr(
        MemoryUploadedFileManager,
        "remove_file",
        lambda self, session_id, file_id: found.append(file_id),
    )
    return found


@pytest.mark.parametrize(("page", "shelf"), [("voice", "voice"), ("hybrid", "hybrid_recording")])
@pytest.mark.parametrize("hidden", [False, True])
def test_a_removed_recording_leaves_the_recorder_and_the_server_too(
    analysis: FakeAnalysis, gone: list[str], page: str, shelf: str, hidden: bool
) -> None:
    app = start(page)
    recorder = app.audio_input(key=f"{shelf}_microphone_0")
    recorder.set_value(("a.wav", VOICE[1], "audio/wav")).run()
    calm(app)
    if hidden:
        app.button_group(key=f"{shelf}_way").set_value("Upload").run()
    assert not gone
    app.button(key=f"{shelf}_remove").click().run()
    calm(app)
    assert not keep_of(app, shelf)
    assert len(gone) == 1
    app.button_group(key=f"{shelf}_way").set_value("Record").run()
    calm(app)
    (recorder,) = app.audio_input
    assert recorder.key == f"{shelf}_microphone_1"
    assert recorder.value is None


def test_the_recorder_without_a_way_for_the_keyboard_says_so(no_models: Path) -> None:
    toggle = start("voice").toggle(key="voice_hands_free")
    assert "needs a mouse or touch" in toggle.help


def test_removing_forgets_the_file_and_its_answers(analysis: FakeAnalysis) -> None:
    app = upload(start("face"), "face", FACE)
    app.button(key="face_remove").click().run()
    calm(app)
    assert "No picture yet" in words(app)
    assert not app.session_state["duet.memory"]


def test_the_shelf_refuses_more_than_it_holds(
    analysis: FakeAnalysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keep, "MAX_KEPT_ITEMS", 1)
    more = [(f"{number}.jpg", FACE[1]) for number in range(3)]
    app = upload(start("face"), "face", *more)
    assert len(keep_of(app, "face")) == 1
    assert "2 files were not taken: 1.jpg, 2.jpg" in words(app).replace("\\", "")
    app.button(key="face_remove").click().run()
    assert "not taken" not in words(app)


def test_uploads_are_not_kept_twice(analysis: FakeAnalysis, gone: list[str]) -> None:
    """Streamlit would hold every uploaded file until the session ends."""
    app = upload(start("face"), "face", FACE, ("grey.png", flat_picture()))
    assert len(set(gone)) == 2
    app.button_group(key="face_way").set_value("Camera").run()
    app.button(key="face_again").click().run()
    app.camera_input(key="face_camera").set_value(("shot.jpg", FACE[1], "image/jpeg")).run()
    calm(app)
    assert len(set(gone)) == 3
    assert len(keep_of(app, "face")) == 3


def test_what_another_page_still_shows_is_not_forgotten(analysis: FakeAnalysis) -> None:
    app = go(upload(start("face"), "face", FACE), "hybrid")
    app.button(key="hybrid_picture_borrow").click().run()
    calls = list(analysis.calls)
    app.button(key="hybrid_picture_remove").click().run()
    calm(app)
    assert "Looks happy" in words(go(app, "face"))
    assert analysis.calls == calls


def test_a_replaced_picture_is_forgotten(analysis: FakeAnalysis) -> None:
    app = upload(start("hybrid"), "hybrid_picture", FACE)
    (first,) = keep_of(app, "hybrid_picture")
    upload(app, "hybrid_picture", ("other.jpg", FACE[1]))
    (second,) = keep_of(app, "hybrid_picture")
    assert {key[1] for key in app.session_state["duet.memory"]} == {second.id} != {first.id}


def test_what_is_left_after_a_stop_can_be_analysed(analysis: FakeAnalysis) -> None:
    app = upload(start("face"), "face", FACE, ("second.jpg", FACE[1]))
    app.session_state["duet.stopped.face"] = True
    app.session_state["duet.memory"].clear()
    app.run()
    assert len(analysis.calls) == 3  # only the picture that is shown
    app.run()
    (resume,) = [b for b in app.button if b.label == "Analyse the remaining 1"]
    resume.click().run()
    assert len(analysis.calls) == 4
    assert not [b for b in app.button if b.key in ("face_resume", "face_stop")]


def test_few_views_are_kept(analysis: FakeAnalysis) -> None:
    app = upload(start("face"), "face", *[(f"{n}.jpg", FACE[1]) for n in range(5)])
    for item in keep_of(app, "face"):
        app.selectbox(key="face_pick").set_value(item.id).run()
        calm(app)
    kinds = [key[0] for key in app.session_state["duet.memory"]]
    assert kinds.count("view") == views.MAX_VIEWS
    assert kinds.count("face") == 5


def test_two_sessions_share_nothing(analysis: FakeAnalysis) -> None:
    upload(start("face"), "face", FACE)
    assert "No picture yet" in words(start("face"))


# --- hybrid and samples -------------------------------------------------------------------------


def test_hybrid_shows_both_answers_the_agreement_and_how_it_came_about(
    analysis: FakeAnalysis,
) -> None:
    app = upload(start("hybrid"), "hybrid_picture", FACE)
    assert "Looks happy" in words(app)
    assert "appears here once there is a recording" in words(app)
    text = words(upload(app, "hybrid_recording", VOICE))
    assert "Looks happy" in text
    assert "Sounds sad" in text
    assert "Face and voice disagree: the face seems happy, the voice sad." in text
    assert "measured on faces and voices that mean the same emotion" in text
    assert "Unsure: perhaps happy · 45%" in text
    assert "More weight on the face" in text
    assert "Unsure: perhaps happy" in words(go(go(app, "home"), "hybrid"))


def test_a_bad_picture_does_not_hide_the_voice(analysis: FakeAnalysis) -> None:
    app = upload(start("hybrid"), "hybrid_picture", ("grey.png", flat_picture()))
    text = words(upload(app, "hybrid_recording", VOICE))
    assert "No face was found in grey" in text.replace("\\", "")
    assert "Sounds sad" in text


def test_hybrid_can_use_what_the_other_pages_hold(analysis: FakeAnalysis) -> None:
    app = upload(start("face"), "face", FACE)
    app = go(app, "hybrid")
    app.button(key="hybrid_picture_borrow").click().run()
    calm(app)
    assert "Looks happy" in words(app)


@pytest.mark.parametrize(
    ("button", "answer"),
    [
        ("sample_face", "Looks happy"),
        ("sample_voice", "Sounds sad"),
        ("sample_both", "Unsure: perhaps happy"),
    ],
)
def test_home_has_a_sample_to_click(analysis: FakeAnalysis, button: str, answer: str) -> None:
    app = start()
    app.button(key=button).click().run()
    calm(app)
    text = words(app)
    assert answer in text
    assert "by code" in text


def test_the_honest_notes_are_on_every_page(no_models: Path) -> None:
    app = start()
    for page in PAGES:
        assert cards.HONESTY in words(go(app, page))


# --- pieces -------------------------------------------------------------------------------------


def test_the_drawn_face_is_a_face_and_the_synthetic_voice_speech() -> None:
    from core.face.detect import active_detector
    from core.voice.activity import speech_segments

    face = decode_image(samples.drawn_face().data, "face")
    assert len(active_detector().detect(face.pixels)) == 1
    voice = decode_audio(samples.synthetic_voice().data, "voice")
    spoken = sum(end - start for start, end in speech_segments(voice.samples))
    assert spoken > 3


def test_every_emotion_has_its_own_readable_colour() -> None:
    colours = [look.colour for look in looks.LOOKS.values()]
    assert tuple(looks.LOOKS) == EMOTIONS
    assert len(set(colours)) == len({look.icon for look in looks.LOOKS.values()}) == 7
    for colour in colours:
        value = looks.luminance(colour)
        assert 1.05 / (value + 0.05) > 2.7  # on white
        assert (value + 0.05) / (looks.luminance("#11171b") + 0.05) > 2.7
        ink = looks.luminance(looks.ink_on(colour))
        lighter, darker = max(value, ink), min(value, ink)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def test_uncertain_answers_are_called_uncertain() -> None:
    assert cards.heading("Looks", prediction("sad", 0.9)) == "Looks sad · 90% sure"
    assert cards.heading("Looks", prediction("sad", 0.4)) == "Unsure: perhaps sad · 40%"
    assert cards.heading("Looks", prediction("sad", 0.497)) == "Unsure: perhaps sad · 49%"
    assert cards.heading("Looks", prediction("sad", 0.5)) == "Looks sad · 50% sure"
    assert cards.heading("Looks", prediction("sad", 0.997)) == "Looks sad · over 99% sure"
    assert "could also be" in cards.alternatives(prediction("sad", 0.4))


@pytest.mark.parametrize(
    ("p", "words_"),
    [(0.0, "under 1%"), (0.0099, "under 1%"), (0.01, "1%"), (0.176, "18%"), (0.494, "49%"),
     (0.4999, "49%"), (0.5, "50%"), (0.99, "99%"), (0.9901, "over 99%"), (1.0, "over 99%")],
)  # fmt: skip
def test_no_probability_is_told_as_more_or_less_than_it_is(p: float, words_: str) -> None:
    assert percent(p) == words_


@pytest.mark.parametrize(
    ("evaluation", "words_"),
    [
        ([], "Not evaluated yet"),
        ({"splits": None}, "Not evaluated yet"),
        ({"splits": {"test": {"accuracy": 0.7}}}, "Not evaluated yet"),
        (
            {"splits": {"test": {"n": 1200, "accuracy": 0.7, "unweighted_average_recall": 0.6}}},
            "On 1,200 held-out test items: 70.0% accuracy, 60.0% unweighted average recall",
        ),
        (
            {
                "splits": {
                    "test": {"n": 9, "accuracy": 0.7, "unweighted_average_recall": 0.6},
                    "test/ravdess": {"unweighted_average_recall": 0.712},
                    "test/crema_d": {"unweighted_average_recall": 0.6},
                }
            },
            "Unweighted average recall on held-out speakers: RAVDESS 71.2%, CREMA-D 60.0%",
        ),
    ],
)
def test_measured_quality_is_told_as_far_as_it_is_known(
    evaluation: Any, words_: str, tmp_path: Path
) -> None:
    (tmp_path / "evaluation.json").write_text(json.dumps(evaluation))
    assert cards.headline(replace(info("any", "voice"), folder=tmp_path)) == words_


def test_calibration_is_claimed_where_it_was_measured(tmp_path: Path) -> None:
    known = replace(info("any", "face"), folder=tmp_path)
    assert len(cards.model_facts([known], "any")) == 1
    measured = {"splits": {"test": {"expected_calibration_error": 0.0187}}}
    (tmp_path / "evaluation.json").write_text(json.dumps(measured))
    known = replace(known)  # reads the file anew
    (line,) = cards.model_facts([known], "any")[1:]
    assert line.endswith("expected calibration error 0.019 on test data")
    measured["splits"] |= {
        "test/ravdess": {"expected_calibration_error": 0.072},
        "test/tess": {"expected_calibration_error": 0.156},
    }
    (tmp_path / "evaluation.json").write_text(json.dumps(measured))
    (line,) = cards.model_facts([replace(known)], "any")[1:]
    assert line.endswith("0.019 on test data (RAVDESS 0.072, TESS 0.156)")


@pytest.mark.parametrize(
    ("size", "shown"),
    [((48, 48), (640, 640)), ((40, 20), (640, 320)), ((700, 500), (700, 500)),
     ((2560, 1280), (1280, 640)), ((3000, 1), (1280, 1))],
)  # fmt: skip
def test_pictures_are_shown_neither_too_small_nor_too_large(
    size: tuple[int, int], shown: tuple[int, int]
) -> None:
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    image, scale = pictures.to_show(Picture("a.png", pixels, size))
    assert image.shape == (shown[1], shown[0], 3)
    assert image.dtype == np.uint8
    assert scale == shown[0] / size[0]


def test_the_label_of_a_face_that_fills_a_tiny_picture_hides_little_of_it() -> None:
    pixels = np.zeros((48, 48, 3), np.uint8)
    image, scale = pictures.to_show(Picture("a.png", pixels, (48, 48)))
    face = replace(face_result("happy"), box=Box(4, 2, 40, 44))
    marked = pictures.mark(image, (face,), scale, 0, mirrored=False)
    assert (marked != image).any(axis=2).mean() < 0.06


def test_few_analyses_run_at_the_same_time() -> None:
    running: list[int] = []
    seen: list[int] = []

    def job() -> None:
        running.append(1)
        seen.append(len(running))
        time.sleep(0.02)
        running.pop()

    with ThreadPoolExecutor(6) as pool:
        for _ in range(6):
            pool.submit(engine.attempt, job)
    assert len(seen) == 6
    assert max(seen) == 2


def test_the_upload_limit_is_the_librarys() -> None:
    assert st.get_option("server.maxUploadSize") * 2**20 == MAX_FILE_BYTES
    assert st.get_option("client.showErrorDetails") == "none"
    assert st.get_option("browser.gatherUsageStats") is False


def test_marks_follow_the_mirror() -> None:
    image = np.full((300, 400, 3), 200, np.uint8)
    faces = (face_result("happy", 20),)
    plain = pictures.mark(image, faces, 1.0, 0, mirrored=False)
    turned = pictures.mark(image, faces, 1.0, 0, mirrored=True)
    assert (plain[:, :200] != 200).any()
    assert not (plain[:, 250:] != 200).any()
    assert (turned[:, 250:] != 200).any()
    assert not (turned[:, :150] != 200).any()
    assert (image == 200).all()


def test_attention_lights_the_place_that_spoke() -> None:
    face = face_result("happy")
    image = np.full((300, 400, 3), 200, np.uint8)
    lit, place = pictures.attention(image, face, 1.0, "happy", mirrored=False)
    assert place == "What speaks most for happy lies around the mouth"
    x, y, side = pictures.face_square(face)
    mouth = (int((220 - y) / side * lit.shape[0]), int((150 - x) / side * lit.shape[1]))
    assert lit[mouth].mean() > 150
    assert lit[5, 5].mean() < 100
    _, place = pictures.attention(image, face, 1.0, "sad", mirrored=False)
    assert place == "Nothing in this face speaks for sad"


def test_long_recordings_are_thinned_for_the_screen() -> None:
    samples_ = np.sin(np.arange(16_000 * 60) / 7).astype(np.float32)
    lowest, highest = charts.envelope(samples_)
    assert len(lowest) == len(highest) <= charts.MAX_COLUMNS
    assert lowest.min() == samples_.min()
    assert highest.max() == samples_.max()
    frames = np.arange(5000, dtype=np.float32).reshape(-1, 1)
    thin = charts.columns(frames)
    assert len(thin) <= charts.MAX_COLUMNS
    assert np.all(np.diff(thin[:, 0]) > 0)


def test_unsure_answers_are_called_so_at_a_glance(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    monkeypatch.setattr(st, "html", drawn.append)
    cards.overview([("a.jpg", [prediction("sad", 0.9), prediction("happy", 0.45)])], "overview")
    table = "".join(drawn)
    assert f"{cards.symbol(looks.LOOKS['sad'].icon)}sad 90%" in table
    assert f"{cards.symbol('question_mark')}unsure: perhaps happy 45%" in table


def test_timeline_leaves_gaps_where_nobody_speaks() -> None:
    points = [
        TimelinePoint(0, 3, prediction("sad")),
        TimelinePoint(0.5, 3.5, None),
        TimelinePoint(1, 4, prediction("happy")),
    ]
    figure = charts.timeline(points, 4.0)
    assert [trace.name for trace in figure.data] == list(EMOTIONS)
    edges = [
        (x, x + width) for x, width in zip(figure.data[0].x, figure.data[0].width, strict=True)
    ]
    assert edges == [(0, 1.75), (2.25, 4)]
    assert [(note.text, note.x) for note in figure.layout.annotations] == [
        ("sad", 0.875),
        ("happy", 3.125),
    ]
    assert "changes once" in figure.layout.title.text


def test_exports_hold_every_answer() -> None:
    found = (face_result("happy"),) * 2
    image = ImageResult("a, b.jpg", 640, 480, "yunet", "m", found, {}, 1280, 960)
    voice = voice_result("sad")
    rows = exports.faces_csv([image]).splitlines()
    assert len(rows) == 3
    assert rows[1].startswith('"a, b.jpg",1,happy,0.8,False')
    sizes = ("width", "height", "original_width", "original_height")
    assert [[row[name] for name in sizes] for row in csv.DictReader(rows)] == [
        ["640", "480", "1280", "960"]
    ] * 2
    assert len(exports.voices_csv([voice]).splitlines()) == 1 + 1 + 6
    known = fake_fuse(image, voice, 1)
    sides = list(csv.DictReader(exports.hybrid_csv(known).splitlines()))
    assert [
        [row[name] for name in ("side", "source", "face", "label", "model")] for row in sides
    ] == [
        ["face", "a, b.jpg", "2", "happy", "m"],
        ["voice", voice.source, "", "sad", voice.model],
        ["together", f"a, b.jpg + {voice.source}", "2", "happy", f"m + {voice.model}"],
    ]
    unknown = replace(known, picture=None, number=None)
    sides = list(csv.DictReader(exports.hybrid_csv(unknown).splitlines()))
    assert [[row[name] for name in ("side", "source", "face", "model")] for row in sides] == [
        ["face", "", "", ""],
        ["voice", voice.source, "", voice.model],
        ["together", voice.source, "", voice.model],
    ]
    assert json.loads(exports.as_json([unknown]))["picture"] is None
    assert json.loads(exports.as_json([image]))["kind"] == "image"
    both: list[Any] = json.loads(exports.as_json([image, voice]))
    assert [item["kind"] for item in both] == ["image", "voice"]
    assert exports.file_name("../odd name?.jpg", "csv") == "duet-odd-name.csv"
