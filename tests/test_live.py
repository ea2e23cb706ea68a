"""The live engine with recorded sequences, and the Live page without a browser."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamlit.errors import StreamlitInvalidLayoutContextError
from streamlit.testing.v1 import AppTest

from core import bench, media
from core.__main__ import main as command_line
from core.datasets import DataSetError, Files
from core.errors import DuetError
from core.face.detect import MtcnnDetector, active_detector
from core.face.mtcnn import WeightsMissingError
from core.fusion import fuse, together
from core.labels import EMOTIONS
from core.live import bench as live_bench
from core.live import director as directing
from core.live import drawing, journal, listening, tones, watching
from core.live.director import Director, Face
from core.live.drawing import Canvas, Mark
from core.live.journal import TICK_SECONDS, Journal, Reading, Tick
from core.live.listening import Heard, Listener
from core.live.measures import Delays, Faults, Rate
from core.live.pacing import ANALYSIS_SHARE, Gate, Pace
from core.live.ring import Funnel, Ring
from core.live.settings import Settings
from core.live.smoothing import LEAD, Smoother, Steady, probability
from core.live.tracking import FORGET_SECONDS, MOST_MISSES, Motion, Tracker, overlap
from core.models import find, load
from core.results import Box, Prediction
from core.ui import connection, devices, exports, ice, turns
from core.ui import live as live_ui
from core.ui.devices import Devices
from core.ui.samples import drawn_face, synthetic_voice
from core.voice import Evidence
from tests.data_makers import fer2013
from tests.test_pages import face_result, prediction, voice_result

ROOT = Path(__file__).resolve().parent.parent
WAIT_SECONDS = 30.0


def until(true: Callable[[], Any], seconds: float = WAIT_SECONDS) -> bool:
    """Wait until something holds, no longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.02)
    return False


def picture(shift: int = 0) -> av.VideoFrame:
    """A frame of 640 x 480 with the drawn face in it."""
    image = cv2.imdecode(np.frombuffer(bench.photo_with_face(None), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    planes = cv2.cvtColor(np.roll(image, shift, axis=1), cv2.COLOR_BGR2YUV_I420)
    return av.VideoFrame.from_ndarray(np.asarray(planes, np.uint8), format="yuv420p")


def sound(samples: np.ndarray, rate: int = 16_000, layout: str = "mono") -> av.AudioFrame:
    whole = (np.clip(samples, -1, 1) * 32767).astype(np.int16)
    channels = 2 if layout == "stereo" else 1
    packed = np.repeat(whole, channels)[np.newaxis]
    frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=layout)
    frame.sample_rate = rate
    return frame


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    return media.decode_audio(synthetic_voice().data, "voice").samples


@pytest.fixture
def director() -> Iterator[Director]:
    made = Director(Settings())
    yield made
    made.stop()
    assert made.join(10)


# --- tracking ------------------------------------------------------------------------------------


def test_faces_that_pass_each_other_keep_their_numbers():
    tracker, numbers = Tracker(), []
    for step in range(40):
        left = Box(20 + 12 * step, 100, 80, 100)
        right = Box(500 - 12 * step, 230, 80, 100)
        numbers.append(tracker.update(step / 15, [left, right]))
    assert numbers == [[1, 2]] * 40


def test_a_face_seen_in_another_order_keeps_its_number():
    tracker, rng = Tracker(), np.random.default_rng(3)
    boxes = [Box(50, 50, 90, 110), Box(300, 60, 80, 100), Box(480, 70, 70, 90)]
    assert tracker.update(0, boxes) == [1, 2, 3]
    for step in range(1, 20):
        order = rng.permutation(3)
        assert tracker.update(step / 15, [boxes[i] for i in order]) == [i + 1 for i in order]


def test_boxes_are_smooth_between_looks():
    """A face that moves evenly, seen 10 times a second with jitter, drawn 60 times a second."""
    tracker, rng, drawn = Tracker(), np.random.default_rng(1), []
    for step in range(30):
        x = 20 * step + rng.normal(0, 2)
        tracker.update(step / 10, [Box(x, 100, 80, 80)])
        for part in range(6):
            if motions := tracker.motions():
                box = motions[0].at(step / 10 + part / 60)
                assert box is not None
                drawn.append(box.x)
    steps = np.diff(drawn[60:])
    assert np.abs(steps - 20 / 6).max() < 4  # never a jump of a whole look's way, 20 px
    assert abs(steps.mean() - 20 / 6) < 0.3


def test_a_lost_face_is_told_once_and_comes_back_under_a_new_number():
    tracker, box = Tracker(), Box(100, 100, 80, 100)
    for step in range(4):
        tracker.update(step / 10, [box])
    for step in range(MOST_MISSES):
        assert len(tracker.motions()) == 1
        tracker.update(0.4 + step / 10, [])
    assert tracker.motions() == ()  # hidden at once
    assert tracker.lost(1.0) == {}
    assert tracker.update(1.0, [box]) == [1]  # back before it was forgotten
    assert tracker.lost(1.1 + FORGET_SECONDS) == {1: True}
    assert tracker.lost(9.0) == {}
    assert tracker.update(9.0, [box]) == [2]


def test_what_was_found_only_once_is_no_face():
    tracker = Tracker()
    tracker.update(0, [Box(100, 100, 80, 100)])
    assert tracker.motions() == ()
    assert tracker.lost(10) == {1: False}
    assert tracker.lost(10) == {}


boxes = st.builds(
    Box,
    st.floats(-50, 700), st.floats(-50, 500), st.floats(1, 400), st.floats(1, 400),
)  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(boxes, max_size=5), max_size=12), st.floats(0.001, 2))
def test_tracking_holds_for_any_boxes(pictures: list[list[Box]], interval: float):
    tracker = Tracker()
    for number, found in enumerate(pictures):
        moment = number * interval
        given_numbers = tracker.update(moment, found)
        assert len(set(given_numbers)) == len(found)
        tracker.lost(moment)
        for motion in tracker.motions():
            box = motion.at(moment + 0.05)
            assert box is None or all(np.isfinite(list(box.to_dict().values())))


def test_overlap():
    a = np.array([50, 50, 100, 100.0])
    assert overlap(a, a) == 1
    assert overlap(a, np.array([250, 50, 100, 100.0])) == 0
    assert overlap(a, np.array([100, 50, 100, 100.0])) == pytest.approx(1 / 3)


# --- smoothing -----------------------------------------------------------------------------------


def test_a_change_arrives_with_the_stated_time_constant():
    for step in (0.01, 0.05, 0.1):  # however often it is asked
        smoother = Smoother(0.5)
        smoother.update(0, prediction("sad", 1.0))
        for number in range(1, round(0.5 / step) + 1):
            smooth = smoother.update(number * step, prediction("happy", 1.0))
        assert probability(smooth, "happy") == pytest.approx(1 - np.exp(-1), abs=1e-6)


def test_nothing_is_smoothed_over_a_gap_or_with_no_time_constant():
    smoother = Smoother(0.5)
    smoother.update(0, prediction("sad"))
    assert smoother.update(60, prediction("happy")).label == "happy"
    none = Smoother(0)
    none.update(0, prediction("sad"))
    assert none.update(0.01, prediction("happy")) == prediction("happy")


def test_a_label_does_not_flicker():
    steady, shown = Steady(), []
    rng = np.random.default_rng(5)
    for _ in range(200):  # two emotions within less than the lead of each other
        p = 0.45 + rng.uniform(-LEAD / 2.1, LEAD / 2.1)
        rest = (0.1) / 5
        values = {"happy": p, "neutral": 0.9 - p}
        shown.append(steady.update(Prediction(tuple(values.get(e, rest) for e in EMOTIONS))))
    assert len(set(shown)) == 1
    assert steady.update(prediction("sad")) == "sad"


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.lists(st.floats(0.01, 1), min_size=7, max_size=7))),
    st.floats(0, 3),
)
def test_smoothed_probabilities_are_probabilities(
    steps: list[tuple[float, list[float]]], time_constant: float
):
    smoother, moment = Smoother(time_constant), 0.0
    for gap, weights in steps:
        moment += gap
        total = sum(weights)
        smooth = smoother.update(moment, Prediction(tuple(w / total for w in weights)))
        assert sum(smooth.probabilities) == pytest.approx(1)


# --- sound ---------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=80)
@given(st.lists(st.integers(0, 30_000), max_size=10))
def test_the_ring_keeps_the_last_samples(lengths: list[int]):
    ring, whole = Ring(1.0), np.zeros(0, np.float32)
    for number, length in enumerate(lengths):
        piece = np.asarray((np.arange(length) + number) / 40_000, np.float32)
        whole = np.concatenate([whole, piece])
        ring.add(piece)
    np.testing.assert_array_equal(ring.last(1.0), whole[-16_000:])
    np.testing.assert_array_equal(ring.last(0.25), whole[-4_000:])
    assert ring.seconds == pytest.approx(len(whole) / 16_000)
    ring.clear()
    assert len(ring.last(1.0)) == 0


@pytest.mark.parametrize(
    ("rate", "layout"), [(48_000, "stereo"), (44_100, "mono"), (8_000, "mono")]
)
def test_sound_of_any_rate_arrives_at_16_khz(rate: int, layout: str):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    funnel = Funnel()
    pieces = [funnel.pour(sound(tone[i : i + rate // 50], rate, layout))
              for i in range(0, rate, rate // 50)]  # fmt: skip
    whole = np.concatenate(pieces)
    assert abs(len(whole) - 16_000) < 200
    assert np.abs(np.fft.rfft(whole[:8000])).argmax() == 220  # 440 Hz in steps of 2 Hz
    # A device of another format takes over.
    assert len(funnel.pour(sound(np.zeros(960), 48_000))) > 0


def test_silence_is_silence_and_never_neutral(voice: np.ndarray):
    model = load(find("voice"))
    rng = np.random.default_rng(2)
    for quiet in (np.zeros(48_000), 1e-4 * rng.standard_normal(48_000)):
        heard = listening.listen(quiet.astype(np.float32), model)
        assert heard.state in ("silence", "sound")
        assert heard.emotion is None
    speech = listening.listen(voice[: 3 * 16_000], model)
    assert speech.state == "speech"
    assert speech.emotion is not None
    after = np.concatenate([voice[16_000 : 2 * 16_000], np.zeros(2 * 16_000)]).astype(np.float32)
    assert listening.listen(after, model).state == "silence"
    assert listening.listen(np.zeros(100, np.float32), model).state == "silence"


def heard_of(monkeypatch: pytest.MonkeyPatch, phrases: list[tuple[float, float]]) -> Heard:
    """What three seconds say in which the first half sounds angry, the second happy."""
    times = np.arange(30) / 10 + 0.05
    evidence = np.zeros((30, 1, len(EMOTIONS)))
    evidence[times < 1.5, 0, EMOTIONS.index("angry")] = 9.0
    evidence[times >= 1.5, 0, EMOTIONS.index("happy")] = 3.0

    def gathered(samples: np.ndarray, *_: object) -> Evidence:
        before = 3 - len(samples) / 16_000  # what is left out of the window
        kept = times >= before
        count = int(kept.sum())
        steps = np.ones(count, bool), np.zeros(count, np.int64)
        return Evidence(times[kept] - before, np.zeros((count, 1)), evidence[kept], *steps)

    monkeypatch.setattr(listening, "find_speech", lambda recording: phrases)
    monkeypatch.setattr(listening, "gather_evidence", gathered)
    return listening.listen(np.zeros(3 * 16_000, np.float32), load(find("voice")))


def test_a_phrase_counts_by_itself_once_it_is_long_enough(monkeypatch: pytest.MonkeyPatch):
    whole = heard_of(monkeypatch, [(0.0, 3.0)]).emotion
    parted = heard_of(monkeypatch, [(0.0, 1.5), (1.9, 3.0)]).emotion
    short = heard_of(monkeypatch, [(0.0, 2.2), (2.5, 3.0)]).emotion
    assert whole
    assert parted
    assert probability(parted, "angry") < probability(whole, "angry")
    assert short == whole


def test_after_a_silence_the_words_before_it_have_no_say(monkeypatch: pytest.MonkeyPatch):
    heard = heard_of(monkeypatch, [(0.0, 1.3), (2.2, 3.0)])
    assert heard.emotion
    assert heard.emotion.label == "happy"
    assert probability(heard.emotion, "angry") == min(heard.emotion.probabilities)
    assert np.array(heard.speech) == pytest.approx(np.array([[-0.8, 0.0]]))
    assert heard_of(monkeypatch, [(0.0, 1.8), (2.7, 3.0)]).emotion is None  # too few words yet


def test_a_label_gives_way_easily_at_the_beginning_of_a_phrase(monkeypatch: pytest.MonkeyPatch):
    angry, happy = ([0.1] * 7 for _ in range(2))
    angry[EMOTIONS.index("angry")], angry[EMOTIONS.index("happy")] = 0.3, 0.2
    happy[EMOTIONS.index("angry")], happy[EMOTIONS.index("happy")] = 0.2, 0.3

    def label(listener: Listener, probabilities: list[float], start: float) -> str | None:
        heard = Heard("speech", Prediction(tuple(probabilities)), ((start, 0.0),))
        monkeypatch.setattr(listening, "listen", lambda *given: heard)
        return listener.update(np.zeros(0, np.float32), load(find("voice")))[1]

    listener = Listener()
    assert label(listener, angry, -2.5) == "angry"
    assert label(listener, happy, -2.5) == "angry"
    assert label(listener, happy, -1.0) == "happy"


def test_rows_are_half_a_second_apart_though_it_listens_more_often():
    moments = [number * listening.HOP_SECONDS for number in range(9)]
    made = Director(Settings(mode="face"), clock=lambda: moments[0])
    while moments:
        made._tick()
        moments.pop(0)
    times = [tick.time for tick in made.journal.ticks()]
    assert np.diff(times) == pytest.approx(TICK_SECONDS)


class Worked:
    """Takes the place of the event that ends a worker: waiting passes at once, until `end`."""

    def __init__(self, moment: list[float], end: float) -> None:
        self.moment, self.end = moment, end

    def wait(self, seconds: float) -> bool:
        self.moment[0] += seconds
        return self.is_set()

    def is_set(self) -> bool:
        return self.moment[0] >= self.end


@pytest.mark.parametrize("cost", [0.05, 0.3, 0.4, 1.0])
def test_rows_stand_for_as_long_as_they_were_shown(monkeypatch: pytest.MonkeyPatch, cost: float):
    moment = [100.0]
    made = Director(Settings(mode="voice"), clock=lambda: moment[0])
    made._audio_time = np.inf

    def listen(_: float) -> None:
        moment[0] += cost
        made._voice = reading("sad")

    monkeypatch.setattr(made, "_listen", listen)
    made._follow(cast(threading.Event, Worked(moment, 160.0)))
    made.pause(True)
    moment[0] += 600
    made.pause(False)
    made._follow(cast(threading.Event, Worked(moment, moment[0] + 60)))
    summary = made.journal.summary()
    assert summary.seconds["voice"]["sad"] == pytest.approx(120, abs=2)
    assert summary.duration == pytest.approx(120, abs=2)
    assert max(row.seconds for row in made.journal.ticks()) < 1.1


def test_a_row_claims_no_more_than_a_few_ticks():
    kept = Journal()
    kept.add(5.0, Tick(0, heard="silence"))
    kept.add(65.0, Tick(0, heard="silence"), after=5.0)
    kept.add(65.75, Tick(0, heard="silence"), after=64.0)  # not the row before
    assert [row.seconds for row in kept.ticks()] == [
        journal.LONGEST_TICK_SECONDS, TICK_SECONDS, TICK_SECONDS,
    ]  # fmt: skip


def test_the_app_leaves_no_core_to_threads_that_spin():
    ask = (
        "import json, core.ui.live, threadpoolctl;"
        "print(json.dumps([l['num_threads'] for l in threadpoolctl.threadpool_info()"
        " if l['user_api'] == 'blas']))"
    )
    answer = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, check=True)
    threads = json.loads(answer.stdout)
    assert threads
    assert set(threads) == {1}


def test_the_level_meter():
    assert listening.level_dbfs(np.zeros(0, np.float32)) == listening.QUIETEST_DBFS
    assert listening.level_dbfs(np.zeros(8000, np.float32)) == listening.QUIETEST_DBFS
    loud = np.sin(np.arange(8000) / 5).astype(np.float32)
    assert listening.level_dbfs(loud) == pytest.approx(-3, abs=0.2)
    assert listening.level_dbfs(0.1 * loud) == pytest.approx(-23, abs=0.2)


# --- looking and drawing -------------------------------------------------------------------------


def test_a_look_agrees_with_the_face_page():
    from core import analyze

    data = bench.photo_with_face(None)
    result = analyze(data, name="photo")
    (sight,) = watching.look(media.decode_image(data, "photo").pixels, load(find("face")))
    found = result.faces[0]  # type: ignore[union-attr]
    assert sight.emotion.label == found.emotion.label
    assert sight.box.x == pytest.approx(found.box.x, abs=12)
    assert sight.box.width == pytest.approx(found.box.width, rel=0.1)


def test_a_camera_that_is_off_is_dark():
    assert watching.is_dark(np.zeros((480, 640, 3), np.uint8))
    assert not watching.is_dark(drawing.rgb_of(picture()))


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_mirrored_picture_is_turned_but_its_words_are_not(mirrored: bool):
    frame = picture()
    plain = Canvas(frame, mirrored).frame()
    canvas = Canvas(frame, mirrored)
    canvas.mark([Mark(Box(400, 100, 100, 120), "happy 83%", (212, 129, 10))])
    changed = np.abs(
        drawing.rgb_of(canvas.frame()).astype(int) - drawing.rgb_of(plain).astype(int)
    ).max(axis=2)
    columns = np.flatnonzero(changed.max(axis=0) > 40)
    left = 640 - 500 if mirrored else 400
    assert abs(columns.min() - left) < 6
    straight = Canvas(frame, False)
    straight.mark([Mark(Box(left, 100, 100, 120), "happy 83%", (212, 129, 10))])
    chip = (slice(72, 90), slice(left + 2, left + 90))
    np.testing.assert_allclose(
        drawing.rgb_of(canvas.frame())[chip], drawing.rgb_of(straight.frame())[chip], atol=3
    )


@pytest.mark.parametrize("size", [(640, 480), (321, 241), (160, 120), (1280, 720), (17, 31)])
def test_any_size_and_any_place_can_be_drawn_on(size: tuple[int, int]):
    width, height = size
    frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), 90, np.uint8), format="rgb24")
    canvas = Canvas(frame, True)
    far = [Box(-400, -400, 100, 100), Box(5000, 5000, 9, 9), Box(-5, -5, 10_000, 10_000)]
    canvas.mark([Mark(box, "surprise? over 99%", (194, 6, 171), True) for box in far])
    canvas.banner("together: happy 80%", (212, 129, 10))
    drawn = canvas.frame()
    assert (drawn.width, drawn.height) == (width // 2 * 2, height // 2 * 2)
    assert drawing.jpeg_of(drawn)[:2] == b"\xff\xd8"


# --- pacing --------------------------------------------------------------------------------------


def test_looks_get_rarer_when_they_cost_more_or_more_people_watch():
    def interval(cost: float, viewers: int) -> float:
        pace = Pace()
        for _ in range(30):
            pace.done(100.0, 100.0 + cost, viewers, count=2)
        return pace.wait(100.0)

    assert interval(0.005, 1) == pytest.approx(1 / 15)
    assert interval(0.08, 1) == pytest.approx(0.08 / (2 * ANALYSIS_SHARE))
    assert interval(0.08, 1) < 1 / 5  # MTCNN: still five labels a second
    assert interval(0.08, 2) == pytest.approx(2 * interval(0.08, 1))


def test_the_gate_serves_in_the_order_of_arrival():
    gate, served, threads = Gate(1), [], []

    def work(number: int) -> None:
        with gate.turn():
            served.append(number)

    with gate.turn():
        for number in range(5):
            threads.append(threading.Thread(target=work, args=(number,)))
            threads[-1].start()
            assert until(partial(lambda wanted: len(gate._waiting) == wanted, number + 1))
        assert served == []
    for thread in threads:
        thread.join(5)
    assert served == [0, 1, 2, 3, 4]
    with gate.turn():
        pass


def test_measures():
    rate, delays, faults = Rate(), Delays(), Faults()
    assert rate.at(0) == delays.percentile(50) == 0
    for number in range(90):
        rate.add(number / 30)
        delays.add(0.001 * number)
    assert rate.at(89 / 30) == pytest.approx(30, rel=0.05)
    assert delays.percentile(50) == pytest.approx(44.5)
    for _ in range(3):
        faults.note("It failed.", ValueError("x"))
    faults.note("Once.", ValueError("x"))
    assert faults.sentences() == ["It failed. (3 times)", "Once."]


# --- fusion over the window ----------------------------------------------------------------------


def test_live_fusion_follows_the_rule_of_the_hybrid_page():
    face, voice_said = face_result("happy"), voice_result("angry")
    infos = find("face"), find("voice")
    page = fuse(face, voice_said, *infos)
    joined = together(face.emotion, voice_said.emotion, *infos)
    assert joined.fused == page.fused
    assert joined.sentence == page.sentence
    assert joined.weights == page.weights


def shown_face(number: int, label: str) -> Face:
    motion = Motion(number, 0.0, np.array([320, 240, 100, 120.0]), np.zeros(4), np.zeros(4))
    return Face(motion, reading(label), speaker=True)


def speaking(director: Director, label: str, start: float) -> None:
    """As if `label` were heard, in speech that began `start` seconds ago."""
    director._voice = reading(label)
    director._heard = Heard("speech", prediction(label), ((-start, 0.0),))


def mean_of(weights: dict[str, float]) -> Prediction:
    """Of certain predictions of labels, that many of each."""
    whole = sum(weights.values())
    spread = [weights.get(label, 0.0) / whole for label in EMOTIONS]
    return Prediction(tuple(spread))


def test_the_face_is_taken_over_the_window_of_the_voice(director: Director):
    speaking(director, "sad", 3.0)
    director._faces = (shown_face(1, "happy"),)
    counts = {"angry": 0.0, "happy": 0.0}
    for number in range(41):  # 4 s: the first second lies before the window
        at, label = number / 10, "fear" if number < 9 else "angry" if number < 20 else "happy"
        director._gaze.append((at, prediction(label, 1.0)))
        if label != "fear" and at >= 1.0:
            counts[label] += 0.5 ** ((4.0 - at) / listening.HALF_LIFE_SECONDS)
    director._join(4.0)
    assert director._together is not None
    expected = together(mean_of(counts), prediction("sad"), find("face"), find("voice"))
    assert director._together.fused.probabilities == pytest.approx(expected.fused.probabilities)
    assert director._together.agreement == "none"
    director._voice = None
    director._join(4.5)
    assert director._together is None


def test_what_the_face_showed_before_a_silence_has_no_say(director: Director):
    director._faces = (shown_face(1, "happy"),)
    for number in range(31):
        label = "angry" if number < 20 else "happy"
        director._gaze.append((number / 10, prediction(label, 1.0)))
    speaking(director, "sad", 1.0)
    director._join(3.0)
    assert director._together is not None
    expected = together(prediction("happy", 1.0), prediction("sad"), find("face"), find("voice"))
    assert director._together.fused.probabilities == pytest.approx(expected.fused.probabilities)


def test_what_is_said_of_agreement_names_the_labels_that_are_shown(director: Director):
    speaking(director, "sad", 3.0)
    director._faces = (shown_face(1, "fear"),)  # held by its lead, though the mean says happy
    director._gaze.append((3.0, prediction("happy", 0.4)))
    director._join(3.0)
    assert director._together is not None
    assert director._together.agreement == "tone"
    assert "the face seems fearful, the voice sad" in director._together.sentence


@pytest.mark.parametrize(("threshold", "words"), [(0.5, "agree"), (0.9, "may agree")])
def test_agreement_is_as_sure_as_the_viewer_asks_for(
    director: Director, threshold: float, words: str
):
    director.settings = replace(director.settings, threshold=threshold)
    director._faces = (shown_face(1, "sad"),)
    speaking(director, "sad", 1.0)
    director._gaze.append((0.5, prediction("sad", 0.8)))
    director._join(1.0, fading=False)
    assert director._together is not None
    assert director._together.sentence.startswith(f"Face and voice {words}:")


def test_choosing_the_speaker_forgets_what_another_face_showed(director: Director):
    motions = [
        Motion(number, 0.0, np.array([x, 240, 100, 120.0]), np.zeros(4), np.zeros(4))
        for number, x in ((1, 100), (2, 500))
    ]
    director._faces = (shown_face(1, "happy"),)
    director._gaze.append((0.0, prediction("happy")))
    assert director._speaker(motions) == 1
    assert director._gaze
    director.settings = Settings(speaker=2)
    assert director._speaker(motions) == 2
    assert not director._gaze


# --- the journal ---------------------------------------------------------------------------------


def reading(label: str, confidence: float = 0.8) -> Reading:
    return Reading(label, prediction(label, confidence), confidence < 0.5)


def filled() -> Journal:
    kept = Journal()
    kept.happened(100.0, "Face 1 appeared.")
    for number in range(10):
        label = "happy" if number < 6 else "sad"
        speaks = number >= 4
        kept.add(
            100.0 + number / 2,
            Tick(
                0,
                faces=((1, reading(label)),),
                voice=reading("sad") if speaks else None,
                heard="speech" if speaks else "silence",
                together=reading("sad") if speaks else None,
                agreement=("exact" if label == "sad" else "none") if speaks else None,
                sentence="A sentence." if speaks else "",
                face_weight=0.4 if speaks else None,
            ),
        )
    return kept


def test_summary_of_a_session():
    summary = filled().summary()
    assert summary.seconds["face"] == {"happy": 3.0, "sad": 2.0}
    assert summary.seconds["voice"] == {"sad": 3.0}
    assert summary.changes == {"face": 1, "voice": 0, "together": 0}
    assert summary.agreement == {"none": pytest.approx(1 / 3), "exact": pytest.approx(2 / 3)}
    assert summary.duration == 5.0


def test_the_time_between_stop_and_start_counts_nothing():
    kept = Journal()
    for moment in (100.0, 100.5, 160.0, 160.2):
        kept.add(moment, Tick(0, faces=((1, reading("happy")),)))
    assert kept.summary().duration == pytest.approx(1.0 + 0.7)


def test_a_long_session_in_turns_keeps_the_time_of_each_side():
    kept = Journal()
    for number in range(journal.MOST_TICKS + 100):
        if number % 5:
            kept.add(number, Tick(0, faces=((1, reading("happy")),), seconds=1.0))
        else:
            heard = Tick(0, voice=reading("sad"), heard="speech", seconds=3.0)
            kept.add(number, heard)
    whole = journal.MOST_TICKS + 100
    assert len(kept.ticks()) < journal.MOST_TICKS
    seconds = kept.summary().seconds
    assert seconds["face"]["happy"] == pytest.approx(whole * 4 / 5)
    assert seconds["voice"]["sad"] == pytest.approx(whole / 5 * 3)


def test_other_sound_is_not_called_silence():
    kept = Journal()
    for number, state in enumerate(("silence", "sound", "sound")):
        kept.add(number / 2, Tick(0, heard=state))
    assert [run.label for run in journal.runs(kept.ticks(), "voice")] == ["silence", "no speech"]


def test_runs_show_silence_as_silence():
    kept = filled()
    voice_runs = journal.runs(kept.ticks(), "voice")
    assert [(run.label, run.start, run.end) for run in voice_runs] == [
        ("silence", 0.0, 2.0), ("sad", 2.0, 5.0),
    ]  # fmt: skip
    assert [run.label for run in journal.runs(kept.ticks(), "face")] == ["happy", "sad"]
    assert len(kept.ticks(2.0)) == 4


def test_the_ribbon_of_a_long_session_stays_short():
    flicker = [
        journal.Run("happy" if number % 4 else "sad", number * 0.5, number * 0.5 + 0.5)
        for number in range(8000)
    ]
    away = [run for run in flicker if not 1000 <= run.start < 2000]
    assert journal.coarse(flicker[:400], 0, 200, 400) == flicker[:400]
    shown = journal.coarse(away, 0, 4000, 400)
    assert [run.label for run in shown] == ["happy", "happy"]
    times = [time for run in shown for time in (run.start, run.end)]
    assert times == pytest.approx([0, 1000, 2000, 4000])
    halves = [replace(run, label="sad" if run.start >= 2000 else "fear") for run in flicker]
    assert [run.label for run in journal.coarse(halves, 0, 4000, 400)] == ["fear", "sad"]


def test_exports_hold_what_was_shown():
    kept = filled()
    rows = list(csv.DictReader(io.StringIO(exports.live_csv(kept))))
    assert [row["side"] for row in rows[-4:]] == ["face 1", "voice", "together", "event"]
    assert rows[-1]["event"] == "Face 1 appeared."
    assert {row["label"] for row in rows if row["side"] == "voice"} == {"silence", "sad"}
    silent = next(row for row in rows if row["label"] == "silence")
    assert silent["confidence"] == silent["neutral"] == ""
    assert rows[0]["time"].endswith("+00:00")
    whole = json.loads(exports.live_json(kept))
    assert whole["events"] == [{"time": 0.0, "event": "Face 1 appeared."}]
    assert len(whole["timeline"]) == 10
    assert whole["timeline"][9]["together"]["label"] == "sad"
    assert whole["summary"]["changes"]["face"] == 1
    kept.clear()
    assert exports.live_csv(kept) == ""
    assert json.loads(exports.live_json(kept))["timeline"] == []


def test_a_long_session_takes_no_more_memory():
    kept = Journal()
    count = 3 * journal.MOST_TICKS
    shown = ((1, reading("happy")),)
    for number in range(count):
        kept.add(number / 2, Tick(0, faces=shown))
        kept.happened(number / 2, "Speech started.")
    assert len(kept.ticks()) <= journal.MOST_TICKS
    assert len(kept.events()) == journal.MOST_EVENTS
    assert kept.summary().seconds["face"]["happy"] == pytest.approx(count / 2)
    assert len(journal.runs(kept.ticks(), "face")) == 1


# --- the director --------------------------------------------------------------------------------


def live_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("duet-live")]


def feed(director: Director, samples: np.ndarray, true: Callable[[], Any]) -> bool:
    """Give pictures and sound at the pace of a camera until something holds."""
    start = time.monotonic()
    for number in range(round(30 * WAIT_SECONDS)):
        director.video(picture())
        begin = number * 533 % max(1, len(samples) - 533)
        director.audio(sound(samples[begin : begin + 533]))
        if true():
            return True
        time.sleep(max(0.0, start + number / 30 - time.monotonic()))
    return False


def test_face_voice_and_both_are_named_and_all_threads_end(director: Director, voice: np.ndarray):
    assert feed(director, voice, lambda: director.now().together)
    now = director.now()
    assert now.faces[0].reading.label == "happy"
    assert now.faces[0].speaker
    assert now.voice
    assert now.together
    assert now.together.sentence.startswith("Face and voice")
    assert now.level_dbfs > -60
    assert now.speed["frames a second"] > 0
    assert len(live_threads()) == 2
    assert director.snapshot()[:2] == b"\xff\xd8"  # type: ignore[index]
    assert feed(director, voice, lambda: director.journal.summary().seconds["together"])
    director.stop()
    assert director.join(10)
    assert live_threads() == []
    assert director.journal.ticks()  # what was found stays
    assert director.snapshot() is None  # no picture does


def test_workers_end_by_themselves_when_nothing_comes(
    director: Director, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(directing, "IDLE_SECONDS", 0.3)
    director.video(picture())
    assert director.running
    assert until(lambda: not director.running)
    assert director.join(10)
    assert director.journal.events()[-1].text == "The connection was lost."
    assert director.now().missing == (directing.LOST,)
    director.video_ended()  # Stop was pressed
    assert director.now().missing == ()
    director.video(picture())  # and it can come back
    assert director.running
    assert director.now().missing == ()


def test_a_camera_that_freezes_leaves_the_voice(director: Director, voice: np.ndarray):
    """Pictures stop without a word of the track's end, as when a phone changes its app."""
    assert feed(director, voice, lambda: director.now().voice and director.now().faces)
    start = time.monotonic()

    def heard_only(count: int = 533) -> bool:
        begin = int(16_000 * (time.monotonic() - start)) % (len(voice) - count)
        director.audio(sound(voice[begin : begin + count]))
        return director.now().faces == ()

    assert until(heard_only)
    assert director.now().missing == (
        "No pictures arrive from the camera; the voice goes on alone.",
    )
    assert until(lambda: director.now().together is None)
    assert until(lambda: "No pictures from the camera." in texts_of(director))
    assert "Face 1 was lost." in texts_of(director)
    assert feed(director, voice, lambda: director.now().faces)
    assert until(lambda: "Again pictures from the camera." in texts_of(director))
    assert [text for text in texts_of(director) if "sound" in text] == []


def texts_of(director: Director) -> list[str]:
    return [event.text for event in director.journal.events()]


def test_nothing_is_missed_before_it_could_have_come():
    moment = [100.0]
    made = Director(Settings(), clock=lambda: moment[0])
    made.audio(sound(np.zeros(960)))
    assert made.now().missing == ()
    moment[0] += directing.MISSING_SECONDS + 0.1
    made.audio(sound(np.zeros(960)))
    assert made.now().missing == ("No pictures arrive from the camera.",)
    made._heard = Heard("speech", None)
    assert made.now().missing == ("No pictures arrive from the camera; the voice goes on alone.",)
    made.stop()
    assert made.join(10)


def test_a_new_start_does_not_begin_paused(director: Director):
    director.video(picture())
    director.pause(True)
    director.stop()
    director.video(picture())
    assert not director.paused


def test_a_camera_that_ends_leaves_the_voice(director: Director, voice: np.ndarray):
    assert feed(director, voice, lambda: director.now().voice and director.now().faces)
    director.video_ended()
    assert director.running
    assert director.now().faces == ()
    assert any("goes on alone" in text for text in director.now().missing)
    director.audio_ended()
    assert not director.running
    texts = [event.text for event in director.journal.events()]
    assert "The camera stopped." in texts
    assert "The microphone stopped." in texts
    director.audio_ended()  # twice does no harm


def test_a_picture_that_fails_is_shown_as_it_came(
    director: Director, monkeypatch: pytest.MonkeyPatch
):
    def broken(*_: object) -> None:
        raise RuntimeError("no canvas")

    monkeypatch.setattr(directing, "Canvas", broken)
    frame = picture()
    assert director.video(frame) is frame
    assert director.video(frame) is frame
    assert any(text.startswith(directing.NOT_DRAWN) for text in director.now().faults)


def test_sound_that_cannot_be_read_loses_nothing(director: Director):
    director.audio(SimpleNamespace())  # type: ignore[arg-type]
    assert director.now().faults == (directing.NOT_HEARD,)
    director.audio(sound(np.zeros(960)))
    assert director.running


def test_a_failing_look_is_counted_and_the_next_one_answers(
    director: Director, monkeypatch: pytest.MonkeyPatch, voice: np.ndarray
):
    real, calls = watching.look, []

    def sometimes(*given: Any) -> Any:
        calls.append(1)
        if len(calls) < 3:
            raise ValueError("an undecodable picture")
        return real(*given)

    monkeypatch.setattr(watching, "look", sometimes)
    assert feed(director, voice, lambda: director.now().faces)
    assert any(text.startswith(directing.NOT_READ) for text in director.now().faults)


def test_what_was_found_only_once_is_not_remembered(
    director: Director, monkeypatch: pytest.MonkeyPatch
):
    found = iter(range(100))

    def elsewhere(*_: object) -> list[watching.Sight]:
        return [watching.Sight(Box(1000 * next(found), 0, 80, 100), prediction("happy"))]

    monkeypatch.setattr(watching, "look", elsewhere)
    for number in range(50):
        director._look(directing._Fresh(picture(), float(number)))
    assert len(director._minds) <= FORGET_SECONDS + 1
    assert texts_of(director) == []


def test_a_missing_model_is_said(director: Director, monkeypatch: pytest.MonkeyPatch):
    def missing(*_: object) -> None:
        raise DuetError("unknown_model", "There is no face model here.")

    monkeypatch.setattr(directing, "find", missing)
    director.video(picture())
    assert until(lambda: "There is no face model here." in director.now().faults)


def test_a_model_that_is_replaced_answers_from_then_on(
    director: Director, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("DUET_HOME", str(tmp_path))
    folder = tmp_path / "models" / "mine"
    for name in ("face-cnn", "face-cnn-robust"):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(find("face", name).folder, folder)
        card = json.loads((folder / "model.json").read_text())
        (folder / "model.json").write_text(json.dumps({**card, "name": "mine"}))
        director.settings = Settings(face_model="mine")
        assert director._model("face").info.sha256 == find("face", name).sha256
    shutil.rmtree(folder)
    with pytest.raises(DuetError, match="no face model called 'mine'"):
        director._model("face")


def test_pause_keeps_pictures_flowing_and_analyses_nothing(director: Director, voice: np.ndarray):
    assert feed(director, voice, lambda: director.now().faces)
    director.pause(True)
    rows = len(director.journal.ticks())
    assert director.now().faces == ()
    assert not feed_some(director, 20)
    assert len(director.journal.ticks()) <= rows + 1
    director.pause(False)
    assert feed(director, voice, lambda: director.now().faces)
    texts = [event.text for event in director.journal.events()]
    assert texts.index("Paused.") < texts.index("Went on.")


def test_what_a_worker_finds_during_a_pause_is_not_shown(stream: Stream):
    app = opened()
    director: Director = app.session_state["duet.live"]
    director.pause(True)
    director._voice = director._fused = reading("sad")
    director._together = together(prediction("happy"), prediction("sad"))
    director._faces = (shown_face(1, "happy"),)
    stream.playing = True
    app.run()
    shown = html(app)
    assert "paused" in shown
    assert "% sure" not in shown
    director.pause(False)
    assert director.now().voice is None


def test_a_model_that_fails_does_not_hold_up_other_viewers(
    director: Director, monkeypatch: pytest.MonkeyPatch
):
    gate, free = Gate(1), []
    monkeypatch.setattr(directing, "GATE", gate)

    def missing(*_: object) -> None:
        raise DuetError("unknown_model", "There is no face model here.")

    def note(*_: object) -> None:  # just before it waits for the next try
        free.append(gate._free)

    monkeypatch.setattr(directing, "find", missing)
    monkeypatch.setattr(director.faults, "note", note)
    director.settings = Settings(mode="face")
    director.video(picture())
    assert until(lambda: free)
    director.stop()
    assert director.join(10)
    assert free[0] == 1


def feed_some(director: Director, count: int) -> bool:
    for _ in range(count):
        director.video(picture())
        time.sleep(0.01)
    return bool(director.now().faces)


def test_a_black_picture_is_said_and_marked(director: Director):
    black = av.VideoFrame.from_ndarray(np.zeros((480, 640, 3), np.uint8), format="rgb24")

    def said() -> bool:
        director.video(black)
        return any("black" in text for text in director.now().missing)

    assert until(said)


def test_callbacks_do_not_wait_for_analyses(director: Director, monkeypatch: pytest.MonkeyPatch):
    release = threading.Event()
    monkeypatch.setattr(watching, "look", lambda *_: release.wait(20) and [])
    for _ in range(30):
        director.video(picture())
    assert director._newest is not None  # only the newest waits; nothing queues up
    release.set()


def test_a_picture_and_a_recording_in_turns():
    moment = [100.0]
    director = Director(Settings(), clock=lambda: moment[0])
    director.see(drawn_face().data)
    assert director.now().faces[0].reading.label == "happy"
    assert director.now().missing == (f"{directing.NO_RECORDING}.",)
    moment[0] += 1
    director.see(drawn_face().data)
    recording = media.decode_audio(synthetic_voice().data, "voice")
    director.hear(synthetic_voice().data)
    moment[0] += 1
    director.see(drawn_face().data)
    now = director.now()
    assert now.turns
    assert now.voice  # the last recording's, for as long as there is no other
    assert now.together
    assert now.missing == ()
    assert not director.running
    summary = director.journal.summary()
    assert sum(summary.seconds["face"].values()) == pytest.approx(3)
    assert sum(summary.seconds["voice"].values()) == pytest.approx(recording.duration)
    assert sum(summary.seconds["together"].values()) == pytest.approx(recording.duration)
    with pytest.raises(DuetError):
        director.see(b"no picture")
    with pytest.raises(DuetError):
        director.hear(b"no recording")
    assert director.now().voice is None
    assert director.now().together is None


def test_what_waits_for_its_turn_is_not_missed(monkeypatch: pytest.MonkeyPatch):
    moment, seen = [100.0], []
    director = Director(Settings(), clock=lambda: moment[0])
    director.see(drawn_face().data)
    real_look, real_voice = director._look, directing.analyze_voice

    def slow(work: Callable[..., Any], *given: Any) -> Any:
        moment[0] += directing.TURN_SECONDS + 1
        now = director.now()
        seen.append((len(now.faces), [text for text in now.missing if "picture" in text]))
        return work(*given)

    monkeypatch.setattr(director, "_look", partial(slow, real_look))
    monkeypatch.setattr(directing, "analyze_voice", partial(slow, real_voice))
    director.see(drawn_face().data)
    director.hear(synthetic_voice().data)
    assert seen == [(1, []), (1, [])]
    assert director.now().faces
    assert "Face 1 was lost." not in texts_of(director)


def test_turns_begin_with_nothing_of_the_stream():
    director = Director(Settings())
    director._voice = reading("sad")  # by a worker that ended late
    director.see(drawn_face().data)
    assert director.now().voice is None


def test_the_speaker_is_chosen_in_hybrid_mode_only(director: Director):
    director.settings = Settings(mode="face", speaker=2)
    near = Motion(1, 0.0, np.array([100, 240, 200, 220.0]), np.zeros(4), np.zeros(4))
    far = Motion(2, 0.0, np.array([500, 240, 50, 60.0]), np.zeros(4), np.zeros(4))
    assert director._speaker([near, far]) == 1
    director.settings = Settings(mode="hybrid", speaker=2)
    assert director._speaker([near, far]) == 2


def test_faces_of_long_ago_are_forgotten_in_turns():
    moment = [100.0]
    director = Director(Settings(), clock=lambda: moment[0])
    director.see(drawn_face().data)
    moment[0] += directing.TURN_SECONDS - 0.1
    director.hear(synthetic_voice().data)
    assert director.now().together  # the face was seen while it was recorded
    moment[0] += 600
    now = director.now()
    assert now.faces == ()
    assert now.missing == (f"{directing.NO_MORE_PICTURES}.",)
    assert texts_of(director) == ["Face 1 appeared.", "Face 1 was lost.",
                                  "No pictures from the camera."]  # fmt: skip
    director.hear(synthetic_voice().data)
    assert director.now().together is None
    rows = director.journal.ticks()
    assert [row.time for row in rows] == sorted(row.time for row in rows)


# --- ICE -----------------------------------------------------------------------------------------


class Tokens(BaseHTTPRequestHandler):
    """Answers as Twilio and Cloudflare do."""

    asked: ClassVar[list[tuple[str, str]]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append((self.path, self.headers["Authorization"]))
        if "broken" in self.path:
            self.send_error(403)
            return
        server = {"urls": "turn:127.0.0.1:3478", "username": "u", "credential": "c", "x": 1}
        body = json.dumps({"ice_servers": [server], "iceServers": server}).encode()
        self.send_response(201)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str]]]:
    server = HTTPServer(("127.0.0.1", 0), Tokens)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(ice, "TWILIO", address)
    monkeypatch.setattr(ice, "CLOUDFLARE", address)
    monkeypatch.setattr(ice, "_memory", {})
    Tokens.asked = []
    yield Tokens.asked
    server.shutdown()
    server.server_close()


def test_tokens_are_fetched_once_and_cleaned(tokens: list[tuple[str, str]]):
    secrets = {
        "servers": [{"urls": "stun:127.0.0.1:3478"}, {"urls": "http://x"}],
        "twilio": {"account_sid": "AC1", "auth_token": "t"},
        "cloudflare": {"key_id": "k", "api_token": "s"},
    }
    for _ in range(2):
        found = ice.configured(secrets)
    relay = {"urls": ["turn:127.0.0.1:3478"], "username": "u", "credential": "c"}
    assert list(found.servers) == [{"urls": ["stun:127.0.0.1:3478"]}, relay, relay]
    assert found.relays
    assert len(found.problems) == 1
    assert len(tokens) == 2
    assert tokens[0][1].startswith("Basic ")
    assert tokens[1] == ("/v1/turn/keys/k/credentials/generate-ice-servers", "Bearer s")


def test_a_service_that_refuses_is_said_and_not_asked_again_at_once(
    tokens: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
):
    for _ in range(3):
        found = ice.configured({"cloudflare": {"key_id": "broken", "api_token": "s"}})
        assert found.servers == ()
        assert found.problems == ("Cloudflare gave no TURN server; check its secrets.",)
    assert len(tokens) == 1
    half = ice.configured({"twilio": {"account_sid": "AC1"}})
    assert half.problems


def test_a_service_that_cannot_be_reached_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ice, "_memory", {})
    monkeypatch.setattr(ice, "TWILIO", "http://127.0.0.1:9")
    assert ice.configured({"twilio": {"account_sid": "AC2", "auth_token": "t"}}).problems


STUN = ice.Servers(({"urls": ["stun:127.0.0.1"]},))
TURN = ice.Servers(({"urls": ["turn:127.0.0.1"]},))
FINE = {"secure": True, "api": True, "video": "ok", "audio": "ok", "candidates": ["host"]}


@pytest.mark.parametrize(
    ("change", "servers", "local", "fine", "words"),
    [
        ({}, ice.Servers(), True, True, "no ICE server is needed"),
        ({"secure": False}, STUN, False, False, "HTTPS"),
        ({"api": False}, STUN, True, False, "current Chrome"),
        ({"video": "NotAllowedError"}, STUN, True, False, "camera is not allowed"),
        ({"audio": "NotFoundError"}, STUN, True, False, "No microphone was found"),
        ({"video": "NotReadableError"}, STUN, True, False, "another program"),
        ({"video": "Strange"}, STUN, True, False, "did not start"),
        ({"candidates": []}, STUN, True, False, "no network address"),
        ({}, TURN, False, False, "TURN server cannot be reached"),
        ({}, STUN, False, False, "no TURN server is configured"),
        ({"candidates": ["host", "srflx"]}, STUN, False, True, "needs a TURN server"),
        ({"candidates": ["host", "relay"]}, TURN, False, True, "network is open"),
    ],
)
def test_the_check_names_what_fails(
    change: dict[str, Any], servers: ice.Servers, local: bool, fine: bool, words: str
):
    findings = connection.diagnose(FINE | change, servers, local)
    (matching,) = [finding for finding in findings if words in finding.text]
    assert matching.fine is fine
    assert all(finding.text.endswith((".", ").")) for finding in findings)


def test_what_the_browser_sends_for_a_picture_is_checked():
    assert turns.decoded({"jpeg": "data:image/jpeg;base64,AAEC"}) == b"\x00\x01\x02"
    for rubbish in (None, 3, "x", {}, {"jpeg": 5}, {"jpeg": "no comma"}, {"jpeg": "a,%%%"},
                    {"jpeg": "a," + "A" * 3_000_000}):  # fmt: skip
        assert turns.decoded(rubbish) is None


# --- the page ------------------------------------------------------------------------------------


class Stream:
    """Takes the place of the connection; its state is set by a test."""

    def __init__(self) -> None:
        self.playing = False
        self.given: dict[str, Any] = {}

    def __call__(self, key: str, **given: Any) -> Any:
        import streamlit

        self.given = given
        state = SimpleNamespace(playing=self.playing, signalling=False)
        streamlit.session_state[key] = SimpleNamespace(state=state)
        return streamlit.session_state[key]


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Stream:
    made = Stream()
    monkeypatch.setattr(live_ui, "webrtc_streamer", made)
    return made


def opened() -> AppTest:
    app = AppTest.from_file(str(ROOT / "Home.py"), default_timeout=60).run()
    return app.switch_page("pages/live.py").run()


def html(app: AppTest) -> str:
    return " ".join(element.proto.body for element in app.get("html"))


def test_the_empty_page_says_what_to_do(stream: Stream):
    app = opened()
    assert not app.exception
    assert "Press Start" in html(app)
    assert stream.given["rtc_configuration"] == {"iceServers": []}
    assert stream.given["media_stream_constraints"]["audio"] is True
    assert stream.given["sendback_audio"] is False


@pytest.mark.parametrize(
    ("mode", "video", "audio"), [("face", True, False), ("voice", False, True)]
)
def test_a_mode_asks_only_for_what_it_needs(stream: Stream, mode: str, video: bool, audio: bool):
    app = opened()
    app.segmented_control(key="live_mode").set_value(mode).run()
    assert not app.exception
    asked = stream.given["media_stream_constraints"]
    assert bool(asked["video"]) is video
    assert bool(asked["audio"]) is audio
    assert (stream.given["video_frame_callback"] is not None) is video
    assert (stream.given["sink_audio_track"] is not None) is audio


def test_answers_timeline_and_summary(stream: Stream):
    app = opened()
    director: Director = app.session_state["duet.live"]
    joined = together(prediction("happy"), prediction("sad"))
    director._voice = director._fused = reading("sad")
    director._together = joined
    director.journal = filled()
    director.faults.note(directing.NOT_READ, ValueError())
    stream.playing = True
    app.toggle(key="live_speed_on").set_value(True).run()
    assert not app.exception
    shown = html(app)
    assert "Sounds sad · 80% sure" in shown
    assert joined.sentence.split(":")[0] in shown
    assert directing.NOT_READ in shown
    assert "frames a second" in shown
    assert 'title="silence, 0:00 to 0:02"' in shown
    app.button(key="live_pause").click().run()
    assert director.paused
    for words in ("Paused", "Face: paused.", "Voice: paused."):
        assert words in html(app)
    stream.playing = False
    app.run()
    assert "time per emotion" in html(app)
    assert "the same emotion 67%" in html(app)
    app.switch_page("pages/home.py").run()
    app.switch_page("pages/live.py").run()
    assert "time per emotion" in html(app)  # it survives
    app.button(key="live_clear").click().run()
    assert "Press Start" in html(app)


def test_summary_says_when_nothing_was_read(stream: Stream):
    app = opened()
    director: Director = app.session_state["duet.live"]
    director.journal.add(0.0, Tick(0.0, heard="silence"))
    app.run()
    assert not app.exception
    assert "Summary" in [heading.value for heading in app.subheader]
    assert "0:00 in all: no emotion was read." in html(app)
    assert "time per emotion" not in html(app)


def test_clearing_forgets_the_files_that_were_made(stream: Stream):
    stream.playing = True
    app = opened()
    app.session_state["duet.live"].journal = filled()
    app.run()
    app.button(key="live_prepare").click().run()
    assert app.get("download_button")
    app.button(key="live_clear").click().run()
    assert not app.get("download_button")


@pytest.mark.parametrize(
    ("heard", "words"),
    [
        (Heard("silence", None), "Silence."),
        (Heard("sound", None), "Sound, but no speech."),
        (Heard("speech", None), "Listening: half a second of speech is needed."),
        (None, "No sound."),
    ],
)
def test_a_side_without_an_answer_says_why(stream: Stream, heard: Heard | None, words: str):
    stream.playing = True
    app = opened()
    director: Director = app.session_state["duet.live"]
    director._heard, director._began = heard, -np.inf
    app.run()
    assert words in html(app)
    assert "No picture." in html(app)


@pytest.mark.parametrize("device", ["camera", "microphone"])
def test_a_device_that_is_refused_is_not_asked_for(
    stream: Stream, monkeypatch: pytest.MonkeyPatch, device: str
):
    found = Devices({device: "NotAllowedError"})
    monkeypatch.setattr(devices, "devices", lambda key: found)
    app = opened()
    asked = stream.given["media_stream_constraints"]
    assert bool(asked["video"]) is (device != "camera")
    assert bool(asked["audio"]) is (device != "microphone")
    assert stream.given["sendback_video"] is (device != "camera")
    assert f"The {device} is not allowed" in app.warning[0].value
    alone = "face" if device == "camera" else "voice"
    app.segmented_control(key="live_mode").set_value(alone).run()
    asked = stream.given["media_stream_constraints"]
    assert asked["video"] or asked["audio"]  # what is the only thing asked for is asked for still


def test_what_the_browser_says_of_its_devices_is_checked():
    strange = {"camera": "", "microphone": "Strange"}
    given: list[Any] = [None, 3, "x", [], {}, {"camera": 5}, {"camera": [1]}, strange]
    for rubbish in given:
        assert devices.reported(rubbish) == Devices()
    found = devices.reported({"camera": "NotFoundError", "microphone": "", "other": "x"})
    assert found.refused("camera")
    assert not found.refused("microphone")
    assert found.sentences("microphone") == []
    (sentence,) = found.sentences("camera", "microphone")
    assert sentence.startswith("No camera was found")


def test_a_chosen_speaker_stays_chosen_while_remembered(stream: Stream):
    stream.playing = True
    app = opened()
    director: Director = app.session_state["duet.live"]
    director._faces, director._met = (shown_face(1, "happy"), shown_face(2, "sad")), {1, 2}
    app.run()
    app.selectbox(key="live_speaker").set_value(2).run()
    director._faces = (shown_face(1, "happy"),)
    app.run()
    assert director.settings.speaker == 2
    director._met = {1}
    app.run()
    assert director.settings.speaker is None


def test_settings_reach_the_engine(stream: Stream):
    app = opened()
    app.slider(key="live_smoothing").set_value(1.0)
    app.slider(key="live_threshold").set_value(70)
    app.toggle(key="live_overlay").set_value(False)
    app.toggle(key="mirror").set_value(False).run()
    chosen: Settings = app.session_state["duet.live"].settings
    assert (chosen.smoothing, chosen.threshold) == (1.0, 0.7)
    assert not chosen.overlay
    assert not chosen.mirror


def test_the_check_and_the_way_in_turns(stream: Stream):
    app = opened()
    app.button(key="live_check_start").click().run()
    assert not app.exception
    assert any("Checking" in caption.value for caption in app.caption)
    app.toggle(key="live_turns").set_value(True).run()
    assert not app.exception


def test_a_page_that_was_cut_off_before_its_places_were_known_is_drawn_once_more(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
):
    app = opened()
    answers, cut = live_ui.answers, [True]

    def unplaced(*told: Any) -> None:
        if cut:
            cut.pop()
            raise StreamlitInvalidLayoutContextError("no place was reserved")
        answers(*told)

    monkeypatch.setattr(live_ui, "answers", unplaced)
    app.toggle(key="live_turns").set_value(True).run()
    assert not cut
    assert not app.exception
    assert app.markdown  # drawn to its end


# --- measuring -----------------------------------------------------------------------------------


def test_bench_makes_its_own_film_and_voice(tmp_path: Path):
    pictures, labels = live_bench.expressions(None)
    assert labels[0] != labels[1]
    for shown, label in zip(pictures, labels, strict=True):
        (sight,) = watching.look(shown, load(find("face")))
        assert sight.emotion.label == label
    live_bench.write_film(pictures, tmp_path / "film.y4m")
    frame = 640 * 480 * 3 // 2 + len("FRAME\n")
    size = (tmp_path / "film.y4m").stat().st_size
    assert size - 2 * live_bench.EXPRESSION_FRAMES * frame < 100
    recordings, tones = live_bench.tones(None)
    assert tones[0] != tones[1]
    assert all(len(recording) > 16_000 for recording in recordings)


class Blind:
    """A detector that finds no face."""

    name = "mtcnn"

    def detect(self, rgb: np.ndarray) -> list[Any]:
        return []


def test_bench_takes_only_faces_that_every_detector_finds(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(live_bench, "MtcnnDetector", Blind)
    with pytest.raises(DuetError, match="No two pictures"):
        live_bench.expressions(None)


def test_bench_says_that_mtcnn_is_missing(monkeypatch: pytest.MonkeyPatch):
    def missing() -> None:
        raise WeightsMissingError("the package mtcnn is not installed")

    monkeypatch.setattr(live_bench, "MtcnnDetector", missing)
    with pytest.raises(DuetError, match="but the package mtcnn is not installed"):
        live_bench.expressions(None)


def test_bench_leaves_out_mtcnn_where_it_finds_no_face(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bench, "MtcnnDetector", Blind)
    assert bench._mtcnn_stage(bench.photo_with_face(None), 1) == {}


def test_bench_takes_voices_from_folders_and_zips(tmp_path: Path):
    folder = tmp_path / "folder" / "ravdess" / "Actor_02"
    folder.mkdir(parents=True)
    (tmp_path / "zipped").mkdir()
    voice = synthetic_voice().data
    with zipfile.ZipFile(tmp_path / "zipped" / "ravdess.zip", "w") as archive:
        for name in ("03-01-05-02-01-01-02.wav", "03-01-05-02-01-01-03.wav"):
            (folder / name).write_bytes(voice)
            archive.writestr(f"Actor_02/{name}", voice)
    for data in ("folder", "zipped"):
        (found,) = live_bench._recordings(tmp_path / data)  # the second is of another actor
        assert len(found) > 16_000
        assert np.abs(found).max() == pytest.approx(0.5)


def spoken(samples: np.ndarray, named: str) -> tones.Spoken:
    return tones.Spoken(samples, named, named)


def test_tones_are_followed_alike_each_time():
    recordings, labels = live_bench.tones(None)
    first, second = (spoken(r, name) for r, name in zip(recordings, labels, strict=True))
    followed = tones.follow(first, second, load(find("voice")))
    assert followed == tones.follow(first, second, load(find("voice")))
    assert followed.change == pytest.approx(2 * (len(first.samples) / 16_000 + 0.3) + 0.1)
    assert {label for _, label in followed.shown} - {None} <= set(EMOTIONS)


def test_delays_and_steadiness_of_tones_are_counted():
    quiet = np.zeros(0, np.float32)
    pair = spoken(quiet, "sad"), spoken(quiet, "happy")
    shown = [(time, "sad" if time < 4.9 else "happy") for time in np.arange(1.0, 6.0, 0.25)]
    never = [(time, "sad" if round(4 * time) % 2 else "fear") for time, _ in shown]
    found = tones.summarise(
        [tones.Followed(*pair, 4.1, tuple(shown)), tones.Followed(*pair, 4.1, tuple(never))]
    )
    assert found["new_tone_named_median_s"] is None  # every second one is late without end
    assert found["named_within_a_second"] == found["named_at_all"] == 0.5
    assert found["changes_a_minute_in_one_tone"] == pytest.approx(60 * 10 / (22 * 0.25), abs=0.1)
    assert found["right_in_one_tone"] == pytest.approx((11 + 5) / 22, abs=0.001)
    alone = tones.summarise([tones.Followed(*pair, 4.1, tuple(shown))])
    assert alone["new_tone_named_median_s"] == pytest.approx(0.9)
    assert any("0.9" in line for line in tones.lines({"pairs": 1, "split": "test", **alone}))


def test_damaged_data_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "ravdess.zip").write_bytes(b"no zip")
    assert command_line(["bench", "--tones", "test", "--data", str(tmp_path)]) == 1
    assert "ravdess.zip is neither a folder nor a zip file. [not_found]" in capsys.readouterr().err


def zipped(path: Path, contents: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("fer2013", []), ("fer2013", ["--live"]), ("ravdess", ["--tones", "test"])],
)
def test_a_zip_without_its_list_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    name: str, arguments: list[str],
):  # fmt: skip
    monkeypatch.setattr(live_bench, "_need_browser", lambda: None)
    path = tmp_path / f"{name}.zip"
    path.write_bytes(zipped(path, {"a.jpg": b"a"}).replace(b"PK\x01\x02", b"PK\x01\x00"))
    assert command_line(["bench", *arguments, "--data", str(tmp_path)]) == 1
    told = f"{name}.zip is damaged or cannot be read. [not_found]\n"
    assert capsys.readouterr().err.endswith(told)


def test_whatever_is_wrong_with_a_zip_is_a_fault_of_the_data(tmp_path: Path):
    path, rng = tmp_path / "a.zip", np.random.default_rng(1)
    whole = zipped(path, {f"\u00e9{number}.jpg": rng.bytes(30) for number in range(3)})
    listed = whole.index(b"PK\x01\x02")
    for _ in range(500):
        spoilt = bytearray(whole)
        for place in rng.integers(rng.choice([0, listed]), len(whole), 2):
            spoilt[place] = rng.integers(256)
        path.write_bytes(spoilt)
        with suppress(DataSetError):
            files = Files(path)
            for name in files.names:
                with suppress(DataSetError):
                    files.read(name)


def test_faces_that_cannot_be_read_are_left_out(tmp_path: Path):
    fer2013(tmp_path, held_out=2, suffix=".jpg")
    faces = bench.faces_of(tmp_path, 14)
    assert faces.shape == (14, 48, 48)
    pictures = sorted((tmp_path / "fer2013").rglob("PrivateTest_*"))
    pictures[0].write_bytes(b"")
    pictures[1].write_bytes(b"no picture")
    np.testing.assert_array_equal(bench.faces_of(tmp_path, 14), faces[2:])
    (tmp_path / "zipped").mkdir()
    path = tmp_path / "zipped" / "FER-2013.zip"
    contents = {picture.name: picture.read_bytes() for picture in pictures}
    last = contents[pictures[-1].name]
    whole = zipped(path, contents, zipfile.ZIP_STORED)
    path.write_bytes(whole.replace(last, last[:-1] + b"x"))  # unlike its checksum
    assert len(bench.faces_of(tmp_path / "zipped", 14)) == 11
    for picture in pictures:
        picture.write_bytes(b"")
    with pytest.raises(DuetError, match="that can be read"):
        bench.faces_of(tmp_path / "fer2013", 14)


def test_tones_need_recordings(tmp_path: Path):
    with pytest.raises(DuetError, match="ravdess"):
        tones.measure(tmp_path, "test", 1)


@pytest.mark.parametrize("name", ["yunet", "mtcnn"])
def test_bench_looks_where_the_label_is(name: str):
    (drawn, _), _ = live_bench.expressions(None)
    elsewhere = np.roll(drawn, (20, -60), axis=(0, 1))  # nobody's two pictures have one box
    finder = MtcnnDetector() if name == "mtcnn" else active_detector()
    plan = live_bench._plan([drawn, elsewhere], name)
    assert plan["detector"] == finder.name
    chips = plan["chips"]
    for picture, (left, top, width, height) in zip([drawn, elsewhere], chips, strict=True):
        canvas = Canvas(av.VideoFrame.from_ndarray(picture, format="rgb24"), mirrored=True)
        canvas.mark([Mark(watching.seek(picture, finder)[0].box, "happy 90%", (200, 30, 30))])
        shown = drawing.rgb_of(canvas.frame())[:, ::-1]  # the plan is for the film, not its mirror
        ground = shown[round(top) : round(top + height), round(left) : round(left + width)]
        assert np.median(ground, axis=(0, 1)) == pytest.approx([200, 30, 30], abs=8)


def test_bench_reads_when_an_expression_was_named():
    from core.ui.looks import LOOKS, rgb

    happy, sad = (drawing.yuv(rgb(LOOKS[label].colour)) for label in ("happy", "sad"))
    rows: list[list[float]] = [
        [33.0 * n, 50.0, n >= 10, *(sad if n >= 15 else happy)] for n in range(30)
    ]
    assert live_bench.expression_delays(rows, ["happy", "sad"]) == [pytest.approx(5 * 33.0)]
    # Where no label stands there is the wall, which is as near to one colour as to another.
    for row in rows[10:15]:
        row[3:6] = [135, 128, 128]
    assert live_bench.expression_delays(rows, ["happy", "sad"]) == [pytest.approx(5 * 33.0)]
    assert live_bench.expression_delays(rows[:15], ["happy", "sad"]) == []


def test_grounds_of_labels_are_farther_apart_than_a_video_makes_them():
    from core.ui.looks import LOOKS, rgb

    grounds = [np.array(drawing.yuv(rgb(LOOKS[label].colour)), float) for label in EMOTIONS]
    apart = [np.abs(one - other).sum() for one, other in combinations(grounds, 2)]
    assert min(apart) > 1.5 * live_bench.SAME_COLOUR


def test_bench_says_what_is_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(live_bench, "browser_path", lambda: None)
    with pytest.raises(DuetError, match="Chromium"):
        live_bench.run(seconds=1)


def test_a_fresh_phrase_goes_through_the_network_without_what_was_said_before() -> None:
    samples = np.arange(3 * 16_000, dtype=np.float32)
    alone, phrases = listening._alone(samples, [(0.2, 1.5), (2.0, 3.0)])
    assert alone[0] == round(1.75 * 16_000)
    assert alone[-1] == samples[-1]
    np.testing.assert_allclose(phrases, [(0.25, 1.25)])
    short_pause, _ = listening._alone(samples, [(0.2, 1.9), (2.0, 3.0)])
    assert short_pause[0] == round(1.9 * 16_000)


def test_what_was_said_before_is_forgotten_in_a_fresh_phrase_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lengths = []
    gather = listening.gather_evidence

    def noted(samples, phrases, model):
        lengths.append(len(samples))
        return gather(samples, phrases, model)

    monkeypatch.setattr(listening, "gather_evidence", noted)
    model = load(find("voice"))
    sound = np.random.default_rng(0).normal(0, 0.1, 3 * 16_000).astype(np.float32)
    for start in (1.5, 2.0, 2.5):  # too long, fresh, and too short to count by itself
        phrases = [(0.0, start - 0.4), (start, 3.0)]
        listening._emotion(sound, phrases, phrases, model)
    assert lengths == [48_000, 48_000 - round(1.75 * 16_000), 48_000]
