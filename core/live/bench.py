"""How fast the Live page is: the real app, a real browser, a film and a voice as its devices.

The film has 640 x 480 pixels and 30 frames a second. Each frame carries its number as a bar code,
and a patch that changes with the expression, so that what comes back tells how long it took.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from core import bench, media
from core.datasets import Files, locate
from core.driving import App, browser_path, chromium, running_app
from core.errors import DuetError
from core.face.detect import Detector, MtcnnDetector, active_detector
from core.face.mtcnn import WeightsMissingError
from core.live import drawing, listening, watching
from core.live.director import Director
from core.live.settings import Settings
from core.media import SAMPLE_RATE
from core.models import find, load

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Frame, Page

WIDTH, HEIGHT, RATE = bench.PHOTO_SIZE[0], bench.PHOTO_SIZE[1], 30
EXPRESSION_FRAMES = 75
"""Frames for which an expression stays: 2.5 s. The film has it, then the other one."""

CODE_BITS = 8
CODE = (256, 452, 16)
"""Left, top and side of the bar code's cells."""
PATCH = (600, 220, 40)
"""Left, top and side of the patch that is white with the second expression."""
SAME_COLOUR = 40
"""By which a label's ground may come back otherwise, over Y, U and V: a video is compressed. What
is behind it (but for neutral's), and labels of other emotions, are farther off."""

TONE_SECONDS, PAUSE_SECONDS = 2.5, 1.2
TONE_ROUNDS = 8

WARM_UP_SECONDS = 8.0
LEAVE_SECONDS = 75.0
"""Within which all threads and connections of a viewer have to be gone."""
ANSWER_MS = 60_000

RUNS = (("yunet", 1), ("mtcnn", 1), ("yunet", 2))
"""(detector, viewers)."""

HOOK = """
window.duetPeers = [];
const Peer = window.RTCPeerConnection;
window.RTCPeerConnection = function (...given) {
  const peer = new Peer(...given);
  window.duetPeers.push(peer);
  return peer;
};
window.RTCPeerConnection.prototype = Peer.prototype;
"""

MEASURE = """
(plan) => {
  const peer = window.duetPeers[window.duetPeers.length - 1];
  const track = (list) => list.map((end) => end.track).find((t) => t && t.kind === "video");
  const found = window.duetFound = { sent: {}, back: [] };
  const read = async (frame, [left, top, width, height], mirrored) => {
    const scale = frame.codedWidth / plan.width;
    const even = (value) => 2 * Math.round(value * scale / 2);
    const x = mirrored ? plan.width - left - width : left;
    const rect = { x: even(x), y: even(top), width: even(width), height: even(height) };
    const bytes = new Uint8Array(frame.allocationSize({ rect }));
    const [luma, second, third] = await frame.copyTo(bytes, { rect });
    return { bytes, luma, second, third, width: rect.width, height: rect.height };
  };
  const grey = ({ bytes, luma, width, height }, share) =>
    bytes[luma.offset + (height >> 1) * luma.stride + Math.floor(width * share)];
  const number = async (frame, mirrored) => {
    const strip = await read(frame, plan.code, mirrored);
    let value = 0;
    for (let bit = 0; bit < plan.bits; bit++) {
      const share = (bit + 0.5) / plan.bits;
      value |= (grey(strip, mirrored ? 1 - share : share) > 128) << bit;
    }
    return value;
  };
  const colour = async (frame, patch) => {
    const { bytes, luma, second, third, width, height } =
      await read(frame, plan.chips[patch], true);
    const half = (plane, step, shift) =>
      bytes[plane.offset + (height >> 2) * plane.stride + (width >> 2) * step + shift];
    const y = grey({ bytes, luma, width, height }, 0.5);
    return third ? [y, half(second, 1, 0), half(third, 1, 0)]
                 : [y, half(second, 2, 0), half(second, 2, 1)];
  };
  const follow = async (track, note) => {
    const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const time = performance.now();
      try { await note(time, value); } catch (error) { found.error = String(error); }
      value.close();
    }
  };
  follow(track(peer.getSenders()).clone(), async (time, frame) => {
    found.sent[await number(frame, false)] = time;
  });
  follow(track(peer.getReceivers()).clone(), async (time, frame) => {
    const sent = found.sent[await number(frame, true)];
    const patch = grey(await read(frame, plan.patch, true), 0.5) > 128 ? 1 : 0;
    found.back.push([time, sent === undefined ? null : time - sent, patch,
                     ...await colour(frame, patch)]);
  });
}
"""

STATISTICS = """
async () => {
  const report = await window.duetPeers[window.duetPeers.length - 1].getStats();
  for (const entry of report.values())
    if (entry.type === "inbound-rtp" && entry.kind === "video")
      return { frames: entry.framesDecoded, freezes: entry.freezeCount || 0,
               frozen: entry.totalFreezesDuration || 0 };
  return { frames: 0, freezes: 0, frozen: 0 };
}
"""


# --- what camera and microphone get --------------------------------------------------------------


def expressions(data: Path | None) -> tuple[list[NDArray[np.uint8]], list[str]]:
    """Two pictures (480, 640, 3) RGB of one face each, and the two emotions the model names.

    From FER2013's held-out faces where `data` has them; else a drawn face, and the same with its
    mouth turned upside down. Every detector of `RUNS` finds the face.
    """
    finders = [_finder(detector) for detector in dict(RUNS)]
    named: dict[str, tuple[float, NDArray[np.uint8]]] = {}
    for picture in _pictures(data):
        sights = watching.look(picture, load(find("face")))
        if len(sights) == 1:
            emotion = sights[0].emotion
            better = emotion.confidence > named.get(emotion.label, (0.0,))[0]
            if better and all(watching.seek(picture, finder) for finder in finders):
                named[emotion.label] = (emotion.confidence, picture)
    # Neutral last: its label is grey, as the wall is.
    best = sorted(named, key=lambda label: (label == "neutral", -named[label][0]))[:2]
    if len(best) < 2:
        raise DuetError("no_face", "No two pictures of different expressions were found in --data.")
    return [named[label][1] for label in best], best


def _finder(detector: str) -> Detector:
    """MTCNN, or the detector in use, which is MTCNN too where there is no YuNet.

    Raises
    ------
    DuetError
        `no_detector` when it is not there.
    """
    try:
        return MtcnnDetector() if detector == "mtcnn" else active_detector()
    except WeightsMissingError as error:
        raise DuetError("no_detector", f"bench --live needs MTCNN, but {error}.") from None


def _pictures(data: Path | None) -> Iterator[NDArray[np.uint8]]:
    if data:
        for face in bench.faces_of(data, 60):
            photo = bench.before_a_wall(face, bench.FACE_IN_PHOTO)
            yield media.decode_image(photo, "photo").pixels
        return
    drawn = media.decode_image(bench.photo_with_face(None), "drawn face").pixels.copy()
    yield drawn.copy()
    mouth = (slice(264, 346), slice(253, 387))
    drawn[mouth] = drawn[mouth][::-1]
    yield drawn


def write_film(pictures: Sequence[NDArray[np.uint8]], path: Path) -> None:
    """The two pictures in turn, as raw Y4M."""
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F{RATE}:1 Ip A1:1 C420jpeg\n".encode())
        for number in range(2 * EXPRESSION_FRAMES):
            second = number >= EXPRESSION_FRAMES
            frame = pictures[second].copy()
            left, top, side = PATCH
            frame[top : top + side, left : left + side] = 255 * second
            left, top, side = CODE
            for bit in range(CODE_BITS):
                cell = slice(left + bit * side, left + (bit + 1) * side)
                frame[top : top + side, cell] = 255 * (number >> bit & 1)
            planes = cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420)
            file.write(b"FRAME\n" + planes.tobytes())


def tones(data: Path | None) -> tuple[list[NDArray[np.float32]], list[str]]:
    """Two recordings (n,) at 16 kHz, and the emotions the model names for them.

    Actor 2 of RAVDESS, a test speaker, where `data` has her; else a synthetic voice, slow and fast.
    """
    named: dict[str, tuple[float, NDArray[np.float32]]] = {}
    for samples in _recordings(data):
        heard = listening.listen(samples, load(find("voice")))
        if heard.emotion and heard.emotion.confidence > named.get(heard.emotion.label, (0.0,))[0]:
            named[heard.emotion.label] = (heard.emotion.confidence, samples)
    best = sorted(named, key=lambda label: -named[label][0])[:2]
    if len(best) < 2:
        raise DuetError("no_speech", "No two recordings of different tones were found in --data.")
    return [named[label][1] for label in best], best


def _recordings(data: Path | None) -> Iterator[NDArray[np.float32]]:
    if place := locate(data, "ravdess") if data else None:
        files = Files(place)
        for name in files.names:
            if name.endswith(("-02-01-01-02.ogg", "-02-01-01-02.wav")):
                yield _spoken(media.decode_audio(files.read(name), name).samples)
        return
    from core.ui.samples import synthetic_voice

    voice = media.decode_audio(synthetic_voice().data, "synthetic voice").samples
    for speed in (0.6, 1.25):
        places = np.arange(0, len(voice) - 1, speed)
        stretched = np.interp(places, np.arange(len(voice)), voice).astype(np.float32)
        yield _spoken(stretched)


def _spoken(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """From the first word on, `TONE_SECONDS`."""
    from core.voice.activity import speech_segments

    segments = speech_segments(samples)
    start = round(segments[0][0] * SAMPLE_RATE) if segments else 0
    cut = samples[start : start + round(TONE_SECONDS * SAMPLE_RATE)]
    return np.asarray(0.5 * cut / max(float(np.abs(cut).max(initial=0)), 1e-6), np.float32)


def _hiss(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(7).normal(0, 0.001, count).astype(np.float32)


# --- without a browser ---------------------------------------------------------------------------


def tone_delays(recordings: Sequence[NDArray[np.float32]], labels: Sequence[str]) -> list[float]:
    """Milliseconds from the first word in a new tone until it is named, in real time.

    Sound is given to a `Director` as a connection would give it, 20 ms at a time.
    """
    director = Director(Settings(mode="voice"))
    pause = _hiss(round(PAUSE_SECONDS * SAMPLE_RATE))
    delays: list[float] = []
    try:
        for round_ in range(TONE_ROUNDS):
            index = round_ % 2
            # Pauses of different lengths, so that windows begin at any place in the speech.
            _play(director, pause[: len(pause) - round_ * SAMPLE_RATE // 20])
            begun = time.monotonic()
            named = _play(director, recordings[index], labels[index])
            if named is not None:
                delays.append(1e3 * (named - begun))
    finally:
        director.stop()
    return delays


def _play(director: Director, samples: NDArray[np.float32], label: str = "") -> float | None:
    """Give sound in real time; the moment at which `label` was named, if it was."""
    piece, named, begun = SAMPLE_RATE // 50, None, time.monotonic()
    for number, start in enumerate(range(0, len(samples), piece)):
        whole = (np.clip(samples[start : start + piece], -1, 1) * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(whole[np.newaxis], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        director.audio(frame)
        voice = director.now().voice
        if named is None and voice and voice.label == label:
            named = time.monotonic()
        time.sleep(max(0.0, begun + (number + 1) * 0.02 - time.monotonic()))
    return named


# --- with a browser ------------------------------------------------------------------------------


def run(data: str | None = None, seconds: float = 30.0) -> dict[str, Any]:
    """Measure all of `RUNS` for `seconds` each.

    Parameters
    ----------
    data : folder with FER2013 and RAVDESS, as folders or zips, to take faces and voices from;
        drawn and synthetic ones by default.

    Raises
    ------
    DuetError
        When Chromium or playwright is missing, or `data` holds nothing usable.
    DataSetError
        When a zip in `data` is damaged.
    """
    _need_browser()
    folder = Path(data) if data else None
    described = bench.machine()
    pictures, shown = expressions(folder)
    recordings, said = tones(folder)
    delays = tone_delays(recordings, said)
    with tempfile.TemporaryDirectory() as temporary:
        film, voice = Path(temporary, "camera.y4m"), Path(temporary, "microphone.wav")
        write_film(pictures, film)
        _write_voice(recordings, voice)
        plans = {detector: _plan(pictures, detector) for detector, _ in RUNS}
        runs = [
            _measure(detector, viewers, film, voice, plans[detector], shown, seconds)
            for detector, viewers in RUNS
        ]
    return {
        "kind": "live bench",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": described,
        "seconds": seconds,
        "expressions": shown,
        "tones": said,
        "new_tone_named_ms": bench.spread(delays) if delays else None,
        "new_tone_missed": TONE_ROUNDS - len(delays),
        "runs": runs,
    }


def lines(report: Mapping[str, Any]) -> Iterator[str]:
    """The report of `run` for people."""
    described = report["machine"]
    yield f"{report['date']}  {described['processor']}, {described['cores']} cores"
    yield f"load average when started: {described['load_average']}"
    yield f"expressions: {', '.join(report['expressions'])}; tones: {', '.join(report['tones'])}"
    tone = report["new_tone_named_ms"]
    yield (
        f"{'new tone named (ms), median':44}{tone['median'] if tone else '-':>10}"
        f"   missed {report['new_tone_missed']} of {TONE_ROUNDS}"
    )
    for measured in report["runs"]:
        viewers = measured["viewers"]
        yield f"{measured['detector']}, {viewers} viewer{'s' * (viewers > 1)}"
        for name, value in measured.items():
            if name not in ("detector", "viewers"):
                yield f"  {name.replace('_', ' '):42}{value if value is not None else '-':>10}"


def _need_browser() -> None:
    try:
        import playwright  # noqa: F401
    except ImportError:
        raise DuetError(
            "not_found",
            "bench --live needs playwright: pip install -r requirements-dev.txt, then try again.",
        ) from None
    if browser_path() is None:
        raise DuetError(
            "not_found",
            "bench --live needs Chromium or Google Chrome: install one, or set DUET_BROWSER to "
            "the path of one.",
        )


def _write_voice(recordings: Sequence[NDArray[np.float32]], path: Path) -> None:
    from core.ui.samples import wav

    pause = _hiss(round(PAUSE_SECONDS * SAMPLE_RATE))
    pieces = [part for recording in recordings for part in (recording, pause)]
    path.write_bytes(wav(np.concatenate(pieces)))


def _plan(pictures: Sequence[NDArray[np.uint8]], detector: str) -> dict[str, Any]:
    """Where the browser has to look. The label stands on the box's upper edge, to the left."""
    finder = _finder(detector)
    boxes = [watching.seek(picture, finder)[0].box for picture in pictures]
    # Pictures come back mirrored; chips are given as in the film, where they lie to the right.
    return {
        "detector": finder.name,
        "width": WIDTH,
        "bits": CODE_BITS,
        "code": (CODE[0], CODE[1], CODE_BITS * CODE[2], CODE[2]),
        "patch": (*PATCH, PATCH[2]),
        "chips": [(box.x + box.width - 8, box.y - 11, 8, 8) for box in boxes],
    }


def _measure(
    detector: str,
    viewers: int,
    film: Path,
    voice: Path,
    plan: Mapping[str, Any],
    labels: Sequence[str],
    seconds: float,
) -> dict[str, Any]:
    from playwright.sync_api import sync_playwright

    environment = dict(os.environ) | ({"DUET_DETECTOR": "mtcnn"} if detector == "mtcnn" else {})
    with ExitStack() as stack:
        app = stack.enter_context(running_app(environment, writing=True))
        playwright = stack.enter_context(sync_playwright())
        browser = stack.enter_context(chromium(playwright, film, voice))
        idle_memory = app.resident_bytes()
        pages, starts = zip(*(_start(browser, app, plan) for _ in range(viewers)), strict=True)
        pages[0].wait_for_timeout(1e3 * WARM_UP_SECONDS)
        before = [_frame(page).evaluate(STATISTICS) for page in pages]
        used, memory, begun = app.processor_seconds(), app.resident_bytes(), time.monotonic()
        threads, sockets = app.threads(), app.sockets()
        pages[0].wait_for_timeout(1e3 * seconds)
        passed = time.monotonic() - begun
        used, grown = app.processor_seconds() - used, app.resident_bytes() - memory
        after = [_frame(page).evaluate(STATISTICS) for page in pages]
        found = [_frame(page).evaluate("window.duetFound.back") for page in pages]
        said = _speed(pages[0])
        for page in pages:
            page.context.close()
        gone = _left(app, threads, sockets)
    rates = [(b["frames"] - a["frames"]) / passed for a, b in zip(before, after, strict=True)]
    trips = [row[1] for rows in found for row in rows if row[1] is not None and row[1] >= 0]
    named = [delay for rows in found for delay in expression_delays(rows, labels)]
    return {
        "detector": plan["detector"],
        "viewers": viewers,
        "start_to_face_named_s": round(max(starts), 2),
        "frames_a_second_least": round(min(rates), 1),
        "freezes": sum(b["freezes"] - a["freezes"] for a, b in zip(before, after, strict=True)),
        "picture_in_the_server_p95_ms": said.get("picture in the server, 95% (ms)"),
        "looks_a_second": said.get("looks a second"),
        "camera_to_screen_median_ms": _percentile(trips, 50),
        "camera_to_screen_p95_ms": _percentile(trips, 95),
        "new_expression_named_median_ms": _percentile(named, 50),
        "new_expression_named_p95_ms": _percentile(named, 95),
        "server_share_of_cores": round(used / passed / (bench.machine()["cores"] or 1), 3),
        "memory_mb": round((memory + grown) / 1e6, 1),
        "memory_before_mb": round(idle_memory / 1e6, 1),
        "memory_growth_mb": round(grown / 1e6, 1),
        "seconds_until_all_is_gone": gone,
    }


def _start(browser: Browser, app: App, plan: Mapping[str, Any]) -> tuple[Page, float]:
    """Open the page, start it, and have the returned pictures read.

    Also the seconds from the press of Start until the page names an emotion of the face.
    """
    context = browser.new_context(permissions=["camera", "microphone"])
    context.set_default_timeout(ANSWER_MS)
    context.add_init_script(HOOK)
    page = context.new_page()
    page.goto(f"{app.url}/live", timeout=ANSWER_MS)
    page.get_by_text("Settings", exact=True).click()
    frame = page.frame_locator("iframe[title*=webrtc]")
    button = frame.get_by_role("button", name="Start")
    button.wait_for()
    speed = page.get_by_text("Show frame rate and delay")
    while not page.get_by_label("Show frame rate and delay").is_checked():
        speed.click()  # lost where the page is still being drawn
        page.wait_for_timeout(1000)  # as a person who looks before pressing; models load meanwhile
    begun = time.monotonic()
    button.click()
    page.locator(".st-key-live_faces h2").first.wait_for()
    passed = time.monotonic() - begun
    _frame(page).evaluate(MEASURE, dict(plan))
    return page, passed


def _frame(page: Page) -> Frame:
    return next(frame for frame in page.frames if "webrtc" in frame.url)


def _speed(page: Page) -> dict[str, float]:
    rows = page.locator(".st-key-live_speed tr")
    said: dict[str, float] = {}
    while "looks a second" not in said:  # it may just be drawn anew
        rows.first.wait_for()
        texts = [text.split("\t") for text in rows.all_inner_texts()]
        said = {text[0].strip(): float(text[-1]) for text in texts if len(text) > 1}
    return said


def expression_delays(rows: Sequence[Sequence[float]], labels: Sequence[str]) -> list[float]:
    """Milliseconds from the first picture with a new expression to the first one that names it.

    Parameters
    ----------
    rows : of each returned picture: time in ms, delay, patch, and in YUV what is there where the
        label of that expression stands. labels : emotions of the two expressions.
    """
    from core.ui.looks import LOOKS, rgb

    colours = np.array([drawing.yuv(rgb(LOOKS[label].colour)) for label in labels], float)
    delays, since = [], None
    for before, row in pairwise(rows):
        if row[2] != before[2]:
            since = row[0]
        apart = np.abs(colours[int(row[2])] - np.array(row[3:6])).sum()
        if since is not None and apart < SAME_COLOUR:
            delays.append(row[0] - since)
            since = None
    return delays


def _percentile(values: Sequence[float], share: float) -> float | None:
    return round(float(np.percentile(values, share)), 1) if values else None


def _left(app: App, threads: int, sockets: int) -> float | None:
    """Seconds until no thread or connection of a viewer is left; None when some stay.

    What a server keeps for the next viewer (its pool of helpers, up to a few threads) is no
    remainder: fewer threads and sockets than while somebody looked, and no change any more.
    """
    begun = time.monotonic()
    steady, last = begun, (threads, sockets)
    while time.monotonic() - begun < LEAVE_SECONDS:
        now = app.threads(), app.sockets()
        if now != last:
            steady, last = time.monotonic(), now
        if time.monotonic() - steady > 10 and now[1] < sockets and now[0] < threads:
            return round(steady - begun, 1)
        threading.Event().wait(0.5)
    return None
