"""Ties camera, microphone and analyses of one viewer together.

`video` and `audio` are called with every frame and must not wait: they put the frame where a
worker thread finds the newest one, and draw what is known already. Two workers, started by the
first frame and gone soon after the last one, look at the newest picture and listen to the last
three seconds. What they find is published as a whole, in one assignment.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import av
import numpy as np

from core import media
from core.errors import DuetError
from core.fusion import Together, together
from core.labels import EMOTIONS
from core.live import drawing, listening, watching
from core.live.drawing import Canvas, Colour, Mark
from core.live.journal import QUIET, TICK_SECONDS, Journal, Reading, Tick
from core.live.listening import (
    HALF_LIFE_SECONDS,
    HOP_SECONDS,
    WINDOW_SECONDS,
    Heard,
    Listener,
)
from core.live.measures import Delays, Faults, Rate
from core.live.pacing import GATE, Pace
from core.live.ring import Funnel, Ring
from core.live.settings import Settings
from core.live.smoothing import Smoother, Steady
from core.live.tracking import Motion, Tracker
from core.models import Model, Task, find, load
from core.results import Prediction
from core.voice import analyze_voice
from core.words import percent

IDLE_SECONDS = 4.0
"""Workers end when neither picture nor sound has come for this long: whatever happened to the
viewer, nothing is left behind. The next frame starts them again."""

MISSING_SECONDS = 1.5
"""A side from which nothing has come for this long is missing."""

POLL_SECONDS = 0.25

TURN_SECONDS = 4.0
"""Where pictures come one a second, a face is judged over this long."""

TURN_ROW_SECONDS = 1.0
"""A row of the journal stands for this long there."""

LOST = "Neither pictures nor sound arrive any more: press Stop, then Start."
NO_RECORDING = "Nothing recorded yet"
NO_PICTURE = "No picture yet"
NO_MORE_PICTURES = "No more pictures arrive from the camera"

SLACK = 1.25
"""Another face has to be this many times larger to be taken for the speaker's."""

GREY: Colour = (145, 148, 151)

NOT_DRAWN = "Some pictures could not be drawn on and were shown as they came."
NOT_READ = "Some pictures could not be read; the next ones were."
NOT_HEARD = "Some sound could not be read; what came next was."
NOT_ANALYSED = "Listening failed for a moment on our side; it goes on."

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Face:
    """What is shown of one face."""

    motion: Motion
    reading: Reading
    speaker: bool

    @property
    def number(self) -> int:
        return self.motion.number


@dataclass(frozen=True)
class Now:
    """What is known at this moment; a snapshot."""

    running: bool
    paused: bool
    turns: bool
    """Whether pictures and recordings come in turns: the voice is then that of the last one."""
    known: frozenset[int]
    """Numbers of the faces that are remembered, in sight or not."""
    flowing: frozenset[str]
    """`picture`, `sound`: what arrives."""
    faces: tuple[Face, ...]
    """The speaker's first."""
    heard: Heard | None
    voice: Reading | None
    together: Together | None
    fused: Reading | None
    level_dbfs: float
    missing: tuple[str, ...]
    """Sentences about the side that is missing, while the other goes on."""
    faults: tuple[str, ...]
    speed: Mapping[str, float]


@dataclass
class _Mind:
    """What is remembered of one face's expression."""

    smoother: Smoother
    steady: Steady


@dataclass(frozen=True)
class _Fresh:
    frame: av.VideoFrame
    time: float


class Director:
    """One viewer's live session. Methods may be called from any thread."""

    def __init__(
        self,
        settings: Settings | None = None,
        palette: Mapping[str, Colour] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings or Settings()
        self.palette = dict(palette or {})
        self.journal = Journal()
        self.faults = Faults()
        self._number = next(_numbers)
        self._clock = clock
        self._lock = threading.Lock()
        self._done: threading.Event | None = None
        self._threads: list[threading.Thread] = []
        self._wake = threading.Event()
        self._reset()

    def _reset(self) -> None:
        """Know nothing; the state at the start of a connection."""
        self._newest: _Fresh | None = None
        self._last: av.VideoFrame | None = None
        self._tracker = Tracker()
        self._minds: dict[int, _Mind] = {}
        self._met: set[int] = set()
        self._faces: tuple[Face, ...] = ()
        self._dark = False
        self._gaze: deque[tuple[float, Prediction]] = deque(maxlen=256)
        self._ring = Ring(WINDOW_SECONDS)
        self._funnel = Funnel()
        self._listener = Listener()
        self._noted = -math.inf
        self._fused_steady = Steady()
        self._began = self._clock()
        self._away: frozenset[str] = frozenset()
        self._ended_tracks: set[str] = set()
        self._turns, self._at_work = False, 0
        self._heard: Heard | None = None
        self._voice: Reading | None = None
        self._together: Together | None = None
        self._fused: Reading | None = None
        self._video_time = self._audio_time = -math.inf
        self._paused = self._lost = False
        self._frames, self._looks = Rate(), Rate()
        self._delays, self._costs = Delays(), Delays(60)
        self._ages = Delays(60)

    # --- what camera and microphone call -----------------------------------------------------

    def video(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Take one picture and give back what is to be shown; takes about a millisecond."""
        arrived = self._clock()
        try:
            self._video_time = arrived
            self._ended_tracks.discard("picture")
            self._frames.add(arrived)
            self._newest = _Fresh(frame, arrived)
            self._wake.set()
            self._run()
            shown = self._drawn(frame, arrived)
        except Exception as error:  # noqa: BLE001 - a picture that fails must not end the film
            self.faults.note(NOT_DRAWN, error)
            shown = frame
        self._last = shown
        self._delays.add(self._clock() - arrived)
        return shown

    def audio(self, frame: av.AudioFrame) -> None:
        """Take one piece of sound."""
        self._audio_time = self._clock()
        self._ended_tracks.discard("sound")
        try:
            samples = self._funnel.pour(frame)
            if not self._paused and self.settings.hears:
                self._ring.add(samples)
            self._run()
        except Exception as error:  # noqa: BLE001 - as above
            self.faults.note(NOT_HEARD, error)

    def video_ended(self) -> None:
        """The camera's track is over."""
        self._ended("The camera stopped.", video=True)

    def audio_ended(self) -> None:
        """The microphone's track is over."""
        self._ended("The microphone stopped.", video=False)

    def _ended(self, text: str, video: bool) -> None:
        with self._lock:
            came = self._video_time if video else self._audio_time
            if came == -math.inf:
                self._lost = False  # nobody need be told any more to press Stop
                return
            self._ended_tracks.add("picture" if video else "sound")
            if video:
                self._video_time = -math.inf
                self._forget_faces()
            else:
                self._audio_time = -math.inf
                self._heard = self._voice = None
            both = self._video_time == self._audio_time == -math.inf
        self.journal.happened(self._clock(), text)
        if both:
            self.stop()

    # --- what the page calls -----------------------------------------------------------------

    def pause(self, paused: bool) -> None:
        """Stop or go on analysing; pictures go on flowing."""
        if paused != self._paused:
            self._paused = paused
            self._forget_now()
            self.journal.happened(self._clock(), "Paused." if paused else "Went on.")

    @property
    def paused(self) -> bool:
        return self._paused

    def clear(self) -> None:
        """Forget the session so far."""
        self.journal.clear()
        self.faults.clear()

    def snapshot(self) -> bytes | None:
        """The picture shown last, as a JPEG; None when there is none."""
        last = self._last
        return drawing.jpeg_of(last) if last is not None else None

    def stop(self) -> None:
        """End the workers; the journal stays."""
        with self._lock:
            if self._done:
                self._done.set()
            self._done = None
        self._wake.set()
        self._reset()

    @property
    def running(self) -> bool:
        """Whether workers are at work."""
        return self._done is not None

    def join(self, seconds: float) -> bool:
        """Wait until the workers have ended; whether they have."""
        for thread in list(self._threads):
            thread.join(seconds)
        return not any(thread.is_alive() for thread in self._threads)

    def now(self) -> Now:
        """What is known at this moment."""
        moment = self._clock()
        if self._turns:
            self._note_still(moment)  # no worker does
        return Now(
            running=self.running,
            paused=self._paused,
            turns=self._turns,
            known=frozenset(self._met),
            flowing=frozenset({"picture", "sound"} - self._still(moment)),
            faces=self._faces,
            heard=self._heard,
            voice=self._voice,
            together=self._together,
            fused=self._fused,
            level_dbfs=listening.level_dbfs(self._ring.last(listening.LEVEL_SECONDS)),
            missing=tuple(self._missing(moment)),
            faults=tuple(self.faults.sentences()),
            speed={
                "frames a second": self._frames.at(moment),
                "looks a second": self._looks.at(moment),
                "picture in the server, median (ms)": self._delays.percentile(50),
                "picture in the server, 95% (ms)": self._delays.percentile(95),
                "one look (ms)": self._costs.percentile(50),
                "age of a result when it is there (ms)": self._ages.percentile(50),
            },
        )

    def _missing(self, moment: float) -> list[str]:
        if self._lost and not self.running:
            return [LOST]
        if self._paused or not (self.running or self._turns):
            return []
        settings = self.settings
        face = self._without_face(moment) if settings.sees else ""
        voice = self._without_voice(moment) if settings.hears else ""
        alone = settings.mode == "hybrid" and not self._turns
        speaks = bool(self._heard and self._heard.state == "speech")
        return [
            f"{text}; the {other} goes on alone." if alone and goes_on else f"{text}."
            for text, other, goes_on in (
                (face, "voice", speaks),
                (voice, "face", bool(self._faces)),
            )
            if text
        ]

    def _without_face(self, moment: float) -> str:
        """Why no face is read, or nothing."""
        if "picture" in self._still(moment):
            if self._turns:
                return NO_PICTURE if self._video_time == -math.inf else NO_MORE_PICTURES
            return "No pictures arrive from the camera"
        if self._dark:
            return "The picture is black: the camera is off or covered"
        looked = self._turns or moment - self._began > MISSING_SECONDS
        return "No face is in the picture" if looked and not self._faces else ""

    def _without_voice(self, moment: float) -> str:
        """Why no voice is read, or nothing."""
        if self._turns:
            return "" if self._voice else NO_RECORDING
        if "sound" in self._still(moment):
            return "No sound arrives from the microphone"
        quiet = self._heard is not None and self._heard.state != "speech"
        return "Nobody speaks at the moment" if quiet else ""

    def _still(self, moment: float) -> set[str]:
        """`picture`, `sound`: of which nothing has come for long, or nothing will."""
        if self._turns and self._at_work:
            return set()  # what comes meanwhile has to wait
        times = {"picture": self._video_time, "sound": self._audio_time}
        wait = TURN_SECONDS if self._turns else MISSING_SECONDS
        began = -math.inf if self._turns else self._began  # at first, give each a moment to come
        return self._ended_tracks | {
            kind for kind, came in times.items() if moment - max(came, began) > wait
        }

    # --- where pictures and sound come in turns ------------------------------------------------

    def see(self, data: bytes) -> None:
        """Take one picture (a JPEG) by itself; looks at it at once.

        Raises
        ------
        DuetError
            When it cannot be read, or nothing is there to look at it with.
        """
        moment = self._clock()
        pixels = media.decode_image(data, "The picture").pixels
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        self._begin_turn()
        if moment - self._video_time > TURN_SECONDS:
            self._forget_faces()
        self._video_time = moment
        with self._working(), GATE.turn():
            self._look(_Fresh(frame, moment))
        self._last = self._drawn(frame, moment)
        row = self._row(moment)
        self.journal.add(moment, Tick(row.time, row.faces, seconds=TURN_ROW_SECONDS))

    def hear(self, data: bytes) -> None:
        """Take one recording by itself; listens to all of it at once.

        It is joined with what the face showed while it was made, and stays what is shown of the
        voice until the next one; the journal notes it for as long as it lasts.

        Raises
        ------
        DuetError
            When it cannot be read, or nobody speaks in it; what the last one said is forgotten.
        """
        moment = self._clock()
        self._begin_turn()
        self._heard = self._voice = self._together = self._fused = None
        with self._working(), GATE.turn():
            recording = media.decode_audio(data, "The recording")
            emotion = analyze_voice(recording, self._model("voice")).emotion
        self._audio_time = moment
        self._heard = Heard("speech", emotion)
        self._voice = self._reading(emotion.label, emotion)
        if self.settings.mode == "hybrid":
            self._join(moment, recording.duration + TURN_SECONDS, fading=False)
        began = moment - recording.duration
        self.journal.add(began, replace(self._row(moment), faces=(), seconds=recording.duration))

    def _begin_turn(self) -> None:
        """With the first picture or recording that comes in turns, forget what a stream gave."""
        if not self._turns:
            self._turns = True
            self._forget_now()

    @contextmanager
    def _working(self) -> Iterator[None]:
        """While this goes on, no picture can come: then it is not missed."""
        flowed = "picture" not in self._still(self._clock())
        self._at_work += 1
        try:
            yield
        finally:
            self._at_work -= 1
            if flowed:
                self._video_time = self._clock()

    # --- drawing -----------------------------------------------------------------------------

    def _drawn(self, frame: av.VideoFrame, moment: float) -> av.VideoFrame:
        settings = self.settings
        if not settings.overlay and not settings.mirror:
            return frame
        canvas = Canvas(frame, settings.mirror)
        if settings.overlay:
            faces = () if self._paused else self._faces
            canvas.mark([mark for face in faces if (mark := self._mark(face, moment))])
            if self._paused:
                canvas.banner("paused", GREY)
            elif settings.hears and not self._turns:
                self._draw_sound(canvas)
        return canvas.frame()

    def _draw_sound(self, canvas: Canvas) -> None:
        if self._fused:
            text = f"together: {words(self._fused)}"
            canvas.banner(text, self._colour(self._fused.label))
        if self._voice:
            text = f"voice: {words(self._voice)}"
            canvas.banner(text, self._colour(self._voice.label), bottom=True)
        elif self._heard and self._heard.state != "speech":
            canvas.banner(f"voice: {QUIET[self._heard.state]}", GREY, bottom=True)

    def _mark(self, face: Face, moment: float) -> Mark | None:
        box = face.motion.at(moment)
        if box is None:
            return None
        several = len(self._faces) > 1
        text = f"{face.number}  {words(face.reading)}" if several else words(face.reading)
        return Mark(box, text, self._colour(face.reading.label), several and face.speaker)

    def _colour(self, label: str) -> Colour:
        return self.palette.get(label, GREY)

    # --- workers -----------------------------------------------------------------------------

    def _run(self) -> None:
        """Start the workers where they do not run."""
        if self._done is not None:
            return
        with self._lock:
            if self._done is not None:
                return
            self._began = self._clock()
            self._turns = self._lost = False
            self.faults.clear()
            self._forget_now()  # a worker of before may have written since
            done = self._done = threading.Event()
            self._threads = [
                threading.Thread(
                    target=work, args=(done,), name=f"duet-live-{name}-{self._number}", daemon=True
                )
                for name, work in (("eyes", self._watch), ("ears", self._follow))
            ]
            for thread in self._threads:
                thread.start()

    def _watch(self, done: threading.Event) -> None:
        """Look at the newest picture whenever a look is due."""
        pace = Pace()
        GATE.enter()
        try:
            while not done.is_set():
                if not self._wake.wait(POLL_SECONDS) or done.wait(pace.wait(self._clock())):
                    continue
                self._wake.clear()
                fresh, self._newest = self._newest, None
                if fresh is None or self._paused or not self.settings.sees:
                    continue
                self._attempt(NOT_READ, partial(self._look_in_turn, fresh, pace), done)
        finally:
            GATE.leave()

    def _look_in_turn(self, fresh: _Fresh, pace: Pace) -> None:
        with GATE.turn():
            started = self._clock()
            try:
                self._look(fresh)
            finally:
                ended = self._clock()
                pace.done(started, ended, GATE.viewers)
                self._looks.add(ended)
                self._costs.add(ended - started)
                self._ages.add(ended - fresh.time)

    def _follow(self, done: threading.Event) -> None:
        """Four times a second: listen, join both sides; end when nothing comes."""
        due = self._clock()
        while not done.is_set():
            due = max(due + HOP_SECONDS, self._clock())
            done.wait(max(0.0, due - self._clock()))
            if self._idle():
                self._end(done)
            elif not done.is_set() and not self._paused:
                self._attempt(NOT_ANALYSED, self._tick, done)

    def _idle(self) -> bool:
        return self._clock() - max(self._video_time, self._audio_time) > IDLE_SECONDS

    def _end(self, done: threading.Event) -> None:
        """Nothing came for long: the connection is gone."""
        with self._lock:
            if self._done is not done or not self._idle():
                return
            done.set()
            self._done = None
        self.journal.happened(self._clock(), "The connection was lost.")
        self._reset()
        self._lost = True

    def _attempt(self, sentence: str, work: Callable[[], None], done: threading.Event) -> None:
        """Do it; whatever goes wrong is noted, and the worker goes on."""
        try:
            work()
        except DuetError as error:  # no model, no detector: trying again at once would not help
            self.faults.note(error.message, error)
            done.wait(2.0)
        except Exception as error:  # noqa: BLE001 - one fault must not end the session
            self.faults.note(sentence, error)

    def _model(self, task: Task) -> Model:
        """The one that was chosen, as it is by now: people train their own while others look on."""
        name = self.settings.face_model if task == "face" else self.settings.voice_model
        # Beside a film, a second thread that spins for work costs more than it brings.
        return load(find(task, name), threads=1)

    # --- looking -----------------------------------------------------------------------------

    def _look(self, fresh: _Fresh) -> None:
        pixels = drawing.rgb_of(fresh.frame)
        self._note_dark(watching.is_dark(pixels), fresh.time)
        sights = [] if self._dark else watching.look(pixels, self._model("face"))
        numbers = self._tracker.update(fresh.time, [sight.box for sight in sights])
        readings = {
            number: self._read(number, sight.emotion, fresh.time)
            for number, sight in zip(numbers, sights, strict=True)
        }
        known = {face.number: face.reading for face in self._faces} | readings
        self._lose(fresh.time)
        motions = [motion for motion in self._tracker.motions() if motion.number in known]
        self._publish(motions, known, fresh.time)
        chief = self._faces[0].number if self._faces else None
        if chief in numbers:
            self._gaze.append((fresh.time, sights[numbers.index(chief)].emotion))

    def _note_dark(self, dark: bool, moment: float) -> None:
        if dark != self._dark:
            self._dark = dark
            self.journal.happened(
                moment, "The picture went black." if dark else "The picture is back."
            )

    def _read(self, number: int, emotion: Prediction, moment: float) -> Reading:
        """What to show of a face: smoothed and steadied."""
        mind = self._minds.setdefault(number, _Mind(Smoother(0), Steady()))
        mind.smoother.time_constant = self.settings.smoothing
        smooth = mind.smoother.update(moment, emotion)
        return self._reading(mind.steady.update(smooth), smooth)

    def _reading(self, label: str, emotion: Prediction) -> Reading:
        doubtful = emotion.probabilities[EMOTIONS.index(label)] < self.settings.threshold
        return Reading(label, emotion, doubtful)

    def _lose(self, moment: float) -> None:
        for number, counted in self._tracker.lost(moment).items():
            self._minds.pop(number, None)
            if counted:
                self._met.discard(number)
                self.journal.happened(moment, f"Face {number} was lost.")

    def _publish(self, motions: list[Motion], known: dict[int, Reading], moment: float) -> None:
        for motion in motions:
            if motion.number not in self._met:
                self._met.add(motion.number)
                self.journal.happened(moment, f"Face {motion.number} appeared.")
        chief = self._speaker(motions)
        faces = [Face(m, known[m.number], m.number == chief) for m in motions]
        self._faces = tuple(sorted(faces, key=lambda face: not face.speaker))

    def _speaker(self, motions: list[Motion]) -> int | None:
        """The number of the face that the voice belongs to."""
        if not motions:
            return None
        areas = {m.number: float(m.state[2] * m.state[3]) for m in motions}
        largest = max(areas, key=areas.__getitem__)
        now = self._faces[0].number if self._faces else None
        keep = now is not None and now in areas and areas[largest] < SLACK * areas[now]
        chief = now if keep else largest
        if self.settings.mode == "hybrid" and self.settings.speaker in areas:
            chief = self.settings.speaker
        if chief != now:
            self._gaze.clear()  # what another face showed says nothing about this one
        return chief

    # --- listening and joining ---------------------------------------------------------------

    def _tick(self) -> None:
        moment = self._clock()
        self._note_still(moment)
        if self.settings.hears:
            with GATE.turn():
                self._listen(moment)
        else:
            self._heard = self._voice = None
        if self.settings.mode == "hybrid":
            self._join(moment)
        else:
            self._together = self._fused = None
        if moment - self._noted > TICK_SECONDS - HOP_SECONDS / 2:
            self.journal.add(moment, self._row(moment), after=self._noted)
            self._noted = moment

    def _listen(self, moment: float) -> None:
        before = self._heard.state if self._heard else None
        label = None
        if "sound" in self._still(moment) or self._audio_time == -math.inf:
            self._heard = None
            self._listener.forget()
        else:
            window = self._ring.last(WINDOW_SECONDS)
            self._heard, label = self._listener.update(window, self._model("voice"))
        state = self._heard.state if self._heard else None
        if (state == "speech") != (before == "speech"):
            started = state == "speech"
            self.journal.happened(moment, "Speech started." if started else "Speech ended.")
        emotion = self._heard.emotion if self._heard else None
        self._voice = self._reading(label, emotion) if label and emotion else None

    def _note_still(self, moment: float) -> None:
        """Keep no answer about pictures that have stopped, and say when either side stops."""
        still = self._still(moment)
        if "picture" in still and self._faces:
            for number in sorted(self._met):
                self.journal.happened(moment, f"Face {number} was lost.")
            self._forget_faces()
        for kind, asked, words in (
            ("picture", self.settings.sees, "pictures from the camera"),
            ("sound", self.settings.hears and not self._turns, "sound from the microphone"),
        ):
            if asked and (kind in still) != (kind in self._away) and kind not in self._ended_tracks:
                self.journal.happened(
                    moment, f"No {words}." if kind in still else f"Again {words}."
                )
        self._away = frozenset(still)

    def _join(self, moment: float, seconds: float = WINDOW_SECONDS, fading: bool = True) -> None:
        """Fuse the voice's window with what the speaker's face showed in the same seconds.

        What lies further back counts less by the same half-life in both; whether they agree is
        said of the labels that are shown.
        """
        since = self._heard.speech[0][0] if self._heard and self._heard.speech else -seconds
        seen = [(at, emotion) for at, emotion in list(self._gaze) if at - moment >= since]
        faces = self._faces
        if not seen or not self._voice or not faces:
            self._together = self._fused = None
            self._fused_steady.forget()
            return
        half_life = HALF_LIFE_SECONDS if fading else math.inf
        say = [0.5 ** ((moment - at) / half_life) for at, _ in seen]
        mean = np.average([emotion.probabilities for _, emotion in seen], axis=0, weights=say)
        face = Prediction(tuple(float(p) for p in mean))
        self._together = together(
            face,
            self._voice.emotion,
            self._model("face").info,
            self._model("voice").info,
            shown=(
                faces[0].reading if fading else self._reading(face.label, face),
                self._voice,
            ),
        )
        fused = self._together.fused
        self._fused = self._reading(self._fused_steady.update(fused), fused)

    def _row(self, moment: float) -> Tick:
        faces = [f for f in self._faces if moment - f.motion.time < MISSING_SECONDS]
        joined = self._together
        return Tick(
            time=0.0,
            faces=tuple((face.number, face.reading) for face in faces),
            voice=self._voice,
            heard=self._heard.state if self._heard else None,
            together=self._fused,
            agreement=joined.agreement if joined else None,
            sentence=joined.sentence if joined else "",
            face_weight=joined.weights["face"] if joined else None,
        )

    def _forget_now(self) -> None:
        """After a pause, what was before it says nothing about now."""
        self._noted = -math.inf
        self._forget_faces()
        self._ring.clear()
        self._listener.forget()
        self._fused_steady.forget()
        self._heard = self._voice = self._together = self._fused = None

    def _forget_faces(self) -> None:
        self._faces = ()
        self._minds = {}
        self._met = set()
        self._tracker = Tracker(1, TURN_SECONDS) if self._turns else Tracker()
        self._gaze.clear()


def words(reading: Reading) -> str:
    """A label as it is written on the picture."""
    doubt = "?" if reading.unsure else ""
    return f"{reading.label}{doubt} {percent(reading.confidence)}"
