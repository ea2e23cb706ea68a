"""Finding, framing and classifying faces."""

from __future__ import annotations

import http.server
import math
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from core.errors import DuetError
from core.face import analyze_faces, detect, framing, quality
from core.face.change import FaceChange, changed_face
from core.face.classify import BATCH, classify
from core.face.detect import Detection, MtcnnDetector, YuNet
from core.face.tensor import FACE_PIXELS, FACE_SIZE, face_input, face_pixels, face_tensor
from core.labels import EMOTIONS
from core.media import Picture
from core.models import Model, find, load, probabilities
from core.results import Box, Landmarks
from training import framing as measured
from training.files import Files

Pixels = NDArray[np.uint8]


# What the tests are made of


class FakeModel:
    """Evidence that depends on place and pixels, and logits that are its mean over places."""

    def __init__(self, temperature: float = 1.7) -> None:
        self.info = SimpleNamespace(name="fake", temperature=temperature, card={})
        self.batches: list[int] = []
        rng = np.random.default_rng(5)
        self._weights = rng.normal(size=(6, 6, len(EMOTIONS))).astype(np.float32)

    def __call__(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        self.batches.append(len(batch))
        assert batch.dtype == np.float32
        cells = batch.reshape(-1, 6, 8, 6, 8).mean(axis=(2, 4))
        evidence = cells[..., np.newaxis] * self._weights + self._weights
        return {"logits": evidence.mean(axis=(1, 2)), "evidence": evidence}


def fake(temperature: float = 1.7) -> tuple[Model, FakeModel]:
    """The same fake model twice, once under the type that the library asks for."""
    model = FakeModel(temperature)
    return cast(Model, model), model


def landmarks(points: NDArray[np.floating]) -> Landmarks:
    five = [(float(x), float(y)) for x, y in points]
    return Landmarks(*five)


def similarity(scale: float, degrees: float, x: float, y: float) -> NDArray[np.float64]:
    """(2, 3): from the frame into a picture."""
    angle = math.radians(degrees)
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    return np.array([[cos, -sin, x], [sin, cos, y]])


def moved(matrix: NDArray[np.float64]) -> Landmarks:
    """The frame's landmarks as they lie in a picture."""
    return landmarks(framing.FRAME_LANDMARKS @ matrix[:, :2].T + matrix[:, 2])


def texture(seed: int = 0) -> Pixels:
    """(48, 48): a smooth random pattern with as much detail as a face."""
    noise = np.random.default_rng(seed).normal(size=(FACE_SIZE, FACE_SIZE))
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    return np.asarray(cv2.normalize(smooth, None, 20, 235, cv2.NORM_MINMAX), np.uint8)  # type: ignore[call-overload]


def correlation(a: Pixels, b: Pixels) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def scene(width: int, height: int, *placed: tuple[Pixels, int, int, int]) -> Picture:
    """A plain uneven background with faces at (face, x, y, side)."""
    coarse = np.random.default_rng(1).uniform(90, 150, (height // 20 + 2, width // 20 + 2))
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    grey = np.clip(smooth, 0, 255).astype(np.uint8)
    for face, x, y, side in placed:
        grey[y : y + side, x : x + side] = cv2.resize(
            face, (side, side), interpolation=cv2.INTER_CUBIC
        )
    return Picture("scene", np.repeat(grey[..., np.newaxis], 3, axis=2), (width, height))


def detection(points: NDArray[np.floating], score: float = 0.9) -> Detection:
    return Detection(Box(0, 0, 10, 10), landmarks(points), score)


def codes(notes: tuple[quality.QualityNote, ...]) -> list[str]:
    return [note.code for note in notes]


@pytest.fixture(scope="session")
def faces(shared: Path, yunet: YuNet) -> list[Pixels]:
    """FER2013 faces, a few of each class, that a detector finds easily."""
    files = Files(shared / "data" / "fer2013.zip")
    found = []
    for emotion in EMOTIONS:
        names = [name for name in files.names if name.startswith(f"train/{emotion}/")]
        images = (
            cv2.imdecode(np.frombuffer(files.read(name), np.uint8), cv2.IMREAD_GRAYSCALE)
            for name in names[:12]
        )
        sure = (np.asarray(image, np.uint8) for image in images if image is not None)
        found += [face for face in sure if _score(yunet, face) > 0.88][:4]
    assert len(found) > 20
    return found


def _score(detector: YuNet, face: Pixels) -> float:
    return max((d.score for d in detector.detect(measured.enlarged(face))), default=0.0)


@pytest.fixture(scope="session")
def yunet_file(shared: Path) -> Path:
    return shared / "models" / detect.YUNET_FILE


@pytest.fixture(scope="session")
def yunet(yunet_file: Path) -> YuNet:
    return YuNet(yunet_file.read_bytes())


@pytest.fixture(scope="session")
def mtcnn() -> MtcnnDetector:
    return MtcnnDetector()


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No detector chosen yet, no YuNet given, an empty cache folder, a Zoo that refuses."""
    monkeypatch.setattr(detect, "_active", None)
    monkeypatch.setattr(detect, "YUNET_URL", "http://localhost:9/unreachable")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DUET_YUNET", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "duet"


@pytest.fixture
def zoo(monkeypatch: pytest.MonkeyPatch, fresh: Path) -> Iterator[Callable[[bytes], list[str]]]:
    """A server that gives the bytes it is told to; returns the list of requests it has seen."""
    seen: list[str] = []
    content = b""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("localhost", 0), Handler)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    monkeypatch.setattr(detect, "YUNET_URL", f"http://localhost:{server.server_port}/yunet")

    def serve(given: bytes) -> list[str]:
        nonlocal content
        content = given
        return seen

    yield serve
    server.shutdown()
    server.server_close()


# Framing


def test_landmarks_in_their_place_stay_there() -> None:
    matrix = framing.to_frame(landmarks(framing.FRAME_LANDMARKS))
    np.testing.assert_allclose(matrix, [[1, 0, 0], [0, 1, 0]], atol=1e-9)


def test_the_frame_has_no_side() -> None:
    np.testing.assert_allclose(
        measured.symmetric(framing.FRAME_LANDMARKS), framing.FRAME_LANDMARKS, atol=0.05
    )


@given(
    scale=st.floats(0.1, 40),
    degrees=st.floats(-180, 180),
    x=st.floats(-500, 2000),
    y=st.floats(-500, 2000),
)
def test_framing_undoes_any_similarity(scale: float, degrees: float, x: float, y: float) -> None:
    into_picture = similarity(scale, degrees, x, y)
    matrix = framing.to_frame(moved(into_picture))
    points = framing.landmark_array(moved(into_picture)) @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(points, framing.FRAME_LANDMARKS, atol=1e-6)
    assert framing.frame_scale(matrix) == pytest.approx(1 / scale)


def test_framing_never_mirrors() -> None:
    mirrored = framing.FRAME_LANDMARKS * (-1, 1)
    assert np.linalg.det(framing.to_frame(landmarks(mirrored))[:, :2]) > 0


@pytest.mark.parametrize(
    "points", [np.full((5, 2), 30.0), np.full((5, 2), np.nan), framing.FRAME_LANDMARKS * 1e-3]
)
def test_landmarks_that_say_nothing_are_refused(points: NDArray[np.float64]) -> None:
    assert not framing.is_usable(landmarks(points))
    with pytest.raises(ValueError, match="landmarks"):
        framing.to_frame(landmarks(points))


@pytest.mark.parametrize(("scale", "degrees"), [(1, 0), (1.5, 20), (4, -30), (9, 75), (0.8, 5)])
def test_a_face_turned_and_enlarged_comes_back(scale: float, degrees: float) -> None:
    face = texture()
    matrix = similarity(scale, degrees, 300, 200)
    picture = cv2.warpAffine(
        face, matrix, (900, 800), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    framed = framing.frame_face(np.asarray(picture, np.uint8), framing.to_frame(moved(matrix)))
    inner = (quality.INNER, quality.INNER)
    assert correlation(framed[inner], face[inner]) > 0.97


def test_a_large_face_is_averaged_down_not_picked_from() -> None:
    rows, columns = np.indices((1000, 1000))
    checkers = np.where((rows + columns) % 2, 255, 0).astype(np.uint8)
    framed = framing.frame_face(checkers, framing.to_frame(moved(similarity(17.3, 0, 60, 60))))
    assert abs(float(framed.mean()) - 127.5) < 2
    assert framed.std() < 5


def test_beyond_the_border_the_edge_is_repeated() -> None:
    picture = np.full((100, 100), 77, np.uint8)
    matrix = framing.to_frame(moved(similarity(2, 0, -40, -40)))
    assert (framing.frame_face(picture, matrix) == 77).all()


def test_colour_becomes_luminance() -> None:
    green = np.zeros((60, 60, 3), np.uint8)
    green[..., 1] = 200
    matrix = framing.to_frame(moved(similarity(1, 0, 5, 5)))
    assert (framing.frame_face(green, matrix) == round(200 * 0.587)).all()


def test_corners_of_the_frame_in_the_picture() -> None:
    corners = framing.frame_corners(framing.to_frame(moved(similarity(2, 0, 10.5, 20.5))))
    np.testing.assert_allclose(corners, [[9.5, 19.5], [105.5, 19.5], [105.5, 115.5], [9.5, 115.5]])


def test_the_frame_is_that_of_fer2013(
    shared: Path, yunet: YuNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "active_detector", lambda: yunet)
    report = measured.main(shared / "data", limit=120)
    assert report["found"] > 0.9 * report["faces"]
    assert report["largest_difference"] < 1
    assert report["scale"][1] == pytest.approx(1, abs=0.03)


# Quality


def good_face(seed: int = 0) -> Pixels:
    """A textured face with fine detail: nothing to say about it."""
    grain = np.random.default_rng(seed).normal(0, 25, (FACE_SIZE, FACE_SIZE))
    return np.clip(texture(seed) * 0.8 + 20 + grain, 0, 235).astype(np.uint8)


def notes_of(
    pixels: Pixels,
    points: NDArray[np.floating] | None = None,
    scale: float = 3,
    score: float = 0.9,
    size: tuple[int, int] = (640, 480),
    at: tuple[float, float] = (200, 150),
) -> list[str]:
    into_picture = similarity(scale, 0, *at)
    shape = framing.FRAME_LANDMARKS if points is None else points
    placed = shape @ into_picture[:, :2].T + into_picture[:, 2]
    found = detection(placed, score)
    return codes(quality.face_notes(pixels, found, framing.to_frame(found.landmarks), size))


def test_a_good_face_carries_no_note() -> None:
    assert notes_of(good_face()) == []


def test_a_small_face() -> None:
    assert notes_of(good_face(), scale=0.6) == ["too_small"]


def test_a_blurred_face_but_not_twice_when_small() -> None:
    blurred = np.asarray(cv2.GaussianBlur(good_face(), (0, 0), 3), np.uint8)
    assert notes_of(blurred) == ["blurred"]
    assert notes_of(blurred, scale=0.5) == ["too_small"]


def test_a_flat_picture_is_blurred() -> None:
    assert codes(quality.picture_notes(np.full((48, 48), 128, np.uint8), 48)) == ["blurred"]


def test_a_dark_face_and_a_pale_one() -> None:
    assert notes_of((good_face() * 0.2).astype(np.uint8)) == ["too_dark"]
    assert notes_of(np.clip(good_face() * 2.5, 0, 255).astype(np.uint8)) == ["overexposed"]


@pytest.mark.parametrize("side", [-1, 1])
def test_a_face_turned_away(side: int) -> None:
    turned = framing.FRAME_LANDMARKS.copy()
    turned[2, 0] += side * 9
    assert notes_of(good_face(), turned) == ["turned_away"]


def test_eyes_in_one_place_are_turned_away() -> None:
    profile = framing.FRAME_LANDMARKS.copy()
    profile[1] = profile[0]
    assert "turned_away" in notes_of(good_face(), profile)


def test_a_doubtful_detection() -> None:
    assert notes_of(good_face(), score=0.65) == ["low_detection_score"]


def test_a_face_cut_off_by_the_border() -> None:
    assert notes_of(good_face(), at=(-60, 150)) == ["cut_off"]
    assert notes_of(good_face(), at=(-20, 150)) == []


def test_share_outside_the_picture() -> None:
    half = framing.to_frame(moved(similarity(1, 0, -24, 20)))
    assert quality.outside_share(half, (200, 200)) == pytest.approx(0.5, abs=1e-6)
    within = framing.to_frame(moved(similarity(1, 30, 80, 80)))
    assert quality.outside_share(within, (200, 200)) == pytest.approx(0, abs=1e-6)
    far = framing.to_frame(moved(similarity(1, 0, 500, 500)))
    assert quality.outside_share(far, (200, 200)) == pytest.approx(1, abs=1e-6)


def test_most_trained_faces_carry_no_note(faces: list[Pixels]) -> None:
    noted = [codes(quality.picture_notes(face, FACE_SIZE)) for face in faces]
    assert sum(map(bool, noted)) <= 0.1 * len(faces)


# Classifying


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.3])
def test_evidence_adds_up_to_the_centred_calibrated_logits(temperature: float) -> None:
    model, seen = fake(temperature)
    framed = np.stack([texture(seed) for seed in range(5)])
    logits, evidence = classify(framed, model)
    assert seen.batches == [10]
    assert logits.shape == (5, 7)
    assert evidence.shape == (5, 6, 6, 7)
    centred = (logits - logits.mean(axis=1, keepdims=True)) / temperature
    np.testing.assert_allclose(evidence.mean(axis=(1, 2)), centred, atol=1e-5)
    np.testing.assert_allclose(evidence.mean(axis=-1), 0, atol=1e-5)


def test_evidence_of_the_shipped_model_adds_up_in_spite_of_its_rounding() -> None:
    model = load(find("face"))
    logits, evidence = classify(np.stack([texture(seed) for seed in range(BATCH + 1)]), model)
    centred = (logits - logits.mean(axis=1, keepdims=True)) / model.info.temperature
    np.testing.assert_allclose(evidence.mean(axis=(1, 2)), centred, atol=1e-5)
    tensors = face_tensor(np.stack([texture(0), texture(0)[:, ::-1]]))
    own = model(tensors)["logits"].mean(axis=0)
    np.testing.assert_allclose(logits[0], own, atol=0.3)


def wanting(**stated: object) -> Any:
    """A model whose card says this of its input, and the shapes of what it was asked."""
    shapes: list[tuple[int, ...]] = []

    def answer(batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        shapes.append(batch.shape)
        return {"evidence": batch.mean(axis=(1, 2, 3))[:, None, None, None] * np.ones(7)}

    model: Any = Mock(side_effect=answer, shapes=shapes)
    model.info = SimpleNamespace(name="wanting", temperature=1.0, card={"input": stated})
    return model


def test_a_model_gets_its_faces_as_it_says() -> None:
    framed = np.stack([texture(seed) for seed in range(3)])
    plain = wanting()
    classify(framed, plain)
    assert plain.shapes == [(6, 48, 48, 1)]
    grey = wanting(shape=["n", 64, 64, 1])
    classify(framed, grey)
    assert grey.shapes == [(6, 64, 64, 1)]
    large = wanting(preprocessing=FACE_PIXELS, shape=["n", 96, 96, 3])
    logits, evidence = classify(framed, large)
    assert large.shapes == [(6, 96, 96, 3)]
    assert evidence.shape == (3, 1, 1, 7)
    enlarged = face_pixels(framed, 96)
    np.testing.assert_allclose(logits[:, 0], enlarged.mean(axis=(1, 2, 3)), rtol=1e-4)


def test_large_faces_are_asked_about_in_smaller_batches() -> None:
    framed = np.stack([texture(seed) for seed in range(3)])
    huge = wanting(preprocessing=FACE_PIXELS, shape=["n", 224, 224, 3])
    classify(framed, huge)
    assert huge.shapes == [(2, 224, 224, 3)] * 3
    assert face_input(huge.info).at_once(BATCH) == 1
    assert face_input(wanting().info).at_once(BATCH) == BATCH


@pytest.mark.parametrize(
    ("stated", "word"),
    [
        ({"preprocessing": "os.system"}, "os.system"),
        ({"preprocessing": ["core.face.tensor.face_tensor"]}, "does not know"),
        ({"preprocessing": FACE_PIXELS, "shape": ["n", 64, 48, 3]}, "shape"),
        ({"preprocessing": FACE_PIXELS, "shape": ["n", 100_000, 100_000, 3]}, "shape"),
        ({"preprocessing": FACE_PIXELS, "shape": ["n", "size", "size", 3]}, "shape"),
        ({"shape": 48}, "shape"),
    ],
)
def test_a_model_that_asks_for_the_unknown_is_damaged(stated: Any, word: str) -> None:
    with pytest.raises(DuetError, match=word) as caught:
        classify(texture()[np.newaxis], wanting(**stated))
    assert caught.value.code == "damaged_model"


def test_grey_faces_are_enlarged_as_training_samples_them() -> None:
    face = texture()
    larger = np.asarray(cv2.resize(face, (64, 64), interpolation=cv2.INTER_LINEAR), np.uint8)
    np.testing.assert_array_equal(face_tensor(face, 64), face_tensor(larger))
    np.testing.assert_array_equal(face_tensor(face, 48), face_tensor(face))


def test_pixels_are_enlarged_as_training_samples_them() -> None:
    face = texture()
    pixels = face_pixels(face, 112)
    assert pixels.shape == (1, 112, 112, 3)
    assert pixels.dtype == np.float32
    assert (pixels[..., 0] == pixels[..., 2]).all()
    assert pixels.min() >= 0
    assert pixels.max() > 100
    trained_on = changed_face(face, 112, FaceChange(), np.random.default_rng(0))
    assert np.abs(pixels[0, 2:-2, 2:-2, 0] - trained_on[2:-2, 2:-2]).max() <= 4
    assert (face_pixels(face, FACE_SIZE)[0, ..., 1] == face).all()
    with pytest.raises(ValueError, match="uint8"):
        face_pixels(face.astype(np.float32), 64)


def test_a_face_and_its_mirror_image_get_the_same_answer() -> None:
    model, _ = fake()
    face = texture()
    logits, evidence = classify(np.stack([face, face[:, ::-1]]), model)
    np.testing.assert_allclose(logits[0], logits[1], atol=1e-5)
    np.testing.assert_allclose(evidence[0], evidence[1][:, ::-1], atol=1e-5)


def test_evidence_stays_at_its_place() -> None:
    class Bright(FakeModel):
        """Happy where it is bright."""

        def __call__(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
            cells = batch.reshape(-1, 6, 8, 6, 8).mean(axis=(2, 4))
            evidence = np.zeros((*cells.shape, 7), np.float32)
            evidence[..., EMOTIONS.index("happy")] = cells
            return {"logits": evidence.mean(axis=(1, 2)), "evidence": evidence}

    face = np.full((48, 48), 60, np.uint8)
    face[8:16, 32:40] = 200
    _, evidence = classify(face[np.newaxis], cast(Model, Bright()))
    happy = evidence[0, ..., EMOTIONS.index("happy")]
    assert divmod(int(happy.argmax()), 6) == (1, 4)


def test_a_cropped_face_is_taken_whole() -> None:
    model, plain = fake()
    pixels = np.asarray(cv2.resize(texture(), (96, 96), interpolation=cv2.INTER_CUBIC), np.uint8)
    picture = Picture("face", np.repeat(pixels[..., np.newaxis], 3, axis=2), (96, 96))
    result = analyze_faces(picture, model, faces="cropped")
    (face,) = result.faces
    assert (result.detector, result.model, result.width, result.height) == (
        "cropped",
        "fake",
        96,
        96,
    )
    assert face.landmarks is None
    assert face.detection_score == 1
    assert face.box == Box(0, 0, 96, 96)
    assert correlation(face.framed, texture()) > 0.99
    np.testing.assert_allclose(framing.frame_corners(face.to_frame)[2], [95.5, 95.5])
    tensors = face_tensor(face.framed)
    logits = (plain(tensors)["logits"] + plain(tensors[:, :, ::-1])["logits"]) / 2
    np.testing.assert_allclose(face.emotion.probabilities, probabilities(logits, 1.7)[0], atol=1e-5)
    assert face.evidence.shape == (6, 6, 7)


def test_a_result_tells_the_size_of_the_file_from_that_of_the_analysed_picture() -> None:
    pixels = np.zeros((96, 192, 3), np.uint8)
    result = analyze_faces(Picture("large", pixels, (4000, 2000)), fake()[0], faces="cropped")
    told = result.to_dict()
    assert (told["width"], told["height"]) == (192, 96)
    assert (told["original_width"], told["original_height"]) == (4000, 2000)
    assert result.faces[0].box == Box(0, 0, 192, 96)


def test_an_unknown_way_of_finding_faces_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="faces must be"):
        analyze_faces(scene(64, 64), fake()[0], faces=cast(Any, "guess"))


# Finding


def inside(found: Detection, x: int, y: int, side: int) -> bool:
    middle_x = found.box.x + found.box.width / 2
    middle_y = found.box.y + found.box.height / 2
    return x < middle_x < x + side and y < middle_y < y + side


@pytest.mark.parametrize(
    ("width", "height", "side"),
    [(640, 480, 200), (640, 480, 100), (1920, 1080, 90), (1920, 1080, 1000), (300, 200, 150)],
)
def test_yunet_finds_faces_of_any_size(
    faces: list[Pixels], yunet: YuNet, width: int, height: int, side: int
) -> None:
    x, y = (width - side) // 3, (height - side) // 3
    hits = 0
    for face in faces[::5]:
        found = yunet.detect(scene(width, height, (face, x, y, side)).pixels)
        hits += len(found) == 1 and inside(found[0], x, y, side)
    assert hits >= 0.8 * len(faces[::5])


@pytest.mark.parametrize("name", ["yunet", "mtcnn"])
@pytest.mark.parametrize("foreground", [0, 200, 400])
def test_who_stands_near_hides_nobody_behind(
    faces: list[Pixels], name: str, foreground: int, request: pytest.FixtureRequest
) -> None:
    behind = [(face, 700 + 200 * (i % 6), 80 + 300 * (i // 6), 90) for i, face in enumerate(faces)]
    near = [(faces[0], 80, 300, foreground)] if foreground else []
    found = request.getfixturevalue(name).detect(scene(1920, 1080, *near, *behind[:18]).pixels)
    seen = [sum(inside(one, *place) for one in found) for _, *place in (*near, *behind[:18])]
    assert max(seen) == 1
    assert len(found) == sum(seen) >= 0.8 * len(seen)
    assert not near or (seen[0] and inside(found[0], *near[0][1:]))


def test_a_second_look_adds_faces_and_replaces_small_ones() -> None:
    def at(x: float, side: float, score: float) -> Detection:
        points = framing.FRAME_LANDMARKS * side / FACE_SIZE + (x, 0)
        return Detection(Box(x, 0, side, side), landmarks(points), score)

    near, part_of_it, small, others = at(0, 400, 0.9), at(100, 90, 0.6), at(600, 80, 0.7), 0.8

    def find(view: detect._View) -> list[Detection]:
        if max(view.pixels.shape) == detect.WORKING_SIDE:
            return [near, small]
        return [at(5, 390, others), part_of_it, at(602, 78, others), at(900, 60, others)]

    def search(longer: int) -> list[tuple[float, float]]:
        blank = np.zeros((longer // 2, longer, 3), np.uint8)
        return [(face.box.x, face.score) for face in detect._search(blank, find)]

    assert search(1920) == [(0, 0.9), (602, 0.8), (900, 0.8)]
    assert search(900) == [(0, 0.9), (600, 0.7)]  # one look shows what there is


def test_landmarks_are_in_pixels_of_the_picture(faces: list[Pixels], yunet: YuNet) -> None:
    large = measured.enlarged(faces[0])
    (once,) = yunet.detect(large)
    (twice,) = yunet.detect(np.asarray(cv2.resize(large, None, fx=3, fy=3), np.uint8))
    at_once = framing.landmark_array(once.landmarks)
    at_twice = (framing.landmark_array(twice.landmarks) + 0.5) / 3 - 0.5
    np.testing.assert_allclose(at_once, at_twice, atol=6)  # of a face 192 px across


def test_a_face_that_fills_the_picture_is_found(faces: list[Pixels], yunet: YuNet) -> None:
    found = [yunet.detect(np.repeat(face[..., np.newaxis], 3, axis=2)) for face in faces]
    assert sum(map(bool, found)) >= 0.9 * len(faces)


@pytest.mark.parametrize("name", ["yunet", "mtcnn"])
@pytest.mark.parametrize("kind", ["noise", "blank", "blobs", "line", "pixel"])
def test_where_there_is_no_face_none_is_found(
    name: str, kind: str, request: pytest.FixtureRequest
) -> None:
    rng = np.random.default_rng(3)
    pictures = {
        "noise": rng.integers(0, 256, (240, 320, 3)).astype(np.uint8),
        "blank": np.full((240, 320, 3), 200, np.uint8),
        "blobs": scene(320, 240).pixels,
        "line": rng.integers(0, 256, (16, 1920, 3)).astype(np.uint8),
        "pixel": np.zeros((1, 1, 3), np.uint8),
    }
    assert request.getfixturevalue(name).detect(pictures[kind]) == []


def test_mtcnn_finds_faces_where_yunet_does(
    faces: list[Pixels], yunet: YuNet, mtcnn: MtcnnDetector
) -> None:
    hits = 0
    for face in faces[::4]:
        pixels = scene(640, 480, (face, 200, 120, 220)).pixels
        ours, other = yunet.detect(pixels)[:1], mtcnn.detect(pixels)[:1]
        if ours and other:
            a, b = (framing.landmark_array(d[0].landmarks) for d in (ours, other))
            hits += bool(np.abs(a - b).mean() < 0.06 * 220)
    assert hits >= 0.7 * len(faces[::4])


def test_mtcnn_does_not_load_tensorflow() -> None:
    program = (
        "import sys; from core.face.detect import MtcnnDetector; MtcnnDetector();"
        "assert not {'tensorflow', 'keras', 'mtcnn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_a_scene_is_read_largest_face_first(
    faces: list[Pixels], yunet: YuNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detect, "_active", (yunet, ""))
    model, _ = fake()
    placed = [(faces[0], 20, 20, 120), (faces[1], 200, 100, 300)]
    result = analyze_faces(scene(640, 480, *placed), model)
    assert result.detector == "yunet"
    assert len(result.faces) == 2
    large, small = result.faces
    assert large.box.width > small.box.width
    assert 200 < large.box.x < 500
    assert small.box.x < 140
    assert result.milliseconds.keys() == {"detect", "classify"}
    assert all(value >= 0 for value in result.milliseconds.values())
    for face in result.faces:
        assert face.framed.shape == (48, 48)
        shown = framing.landmark_array(cast(Landmarks, face.landmarks))
        in_frame = shown @ face.to_frame[:, :2].T + face.to_frame[:, 2]
        assert np.abs(in_frame - framing.FRAME_LANDMARKS).mean() < 4


def test_fifty_faces_are_classified_sixteen_at_a_time(
    faces: list[Pixels], yunet: YuNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detect, "_active", (yunet, ""))
    model, seen = fake()
    places = [(column * 190 + 15, row * 210 + 20) for row in range(5) for column in range(10)]
    placed = [(faces[i % len(faces)], x, y, 150) for i, (x, y) in enumerate(places)]
    result = analyze_faces(scene(1920, 1080, *placed), model)
    assert len(result.faces) >= 45
    assert sum(seen.batches) == 2 * len(result.faces)
    assert max(seen.batches) == 2 * BATCH == 32


def test_no_face_is_said_in_a_sentence(yunet: YuNet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detect, "_active", (yunet, ""))
    with pytest.raises(DuetError, match="No face was found") as caught:
        analyze_faces(scene(320, 240), fake()[0])
    assert caught.value.code == "no_face"


@pytest.mark.parametrize("name", ["yunet", "mtcnn"])
def test_several_threads_get_the_answers_of_one(
    name: str, faces: list[Pixels], request: pytest.FixtureRequest
) -> None:
    detector = request.getfixturevalue(name)
    pictures = [
        scene(240 + 40 * i, 240, (face, 20, 20, 160)).pixels for i, face in enumerate(faces[:6])
    ]
    alone = [detector.detect(picture) for picture in pictures]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(detector.detect, pictures))
    assert together == alone


# Where the detector comes from


def test_the_pinned_file_is_the_one_for_tests(yunet_file: Path) -> None:
    assert len(detect.YUNET_SHA256) == 64
    assert detect._is_yunet(yunet_file.read_bytes())


def test_yunet_from_the_path_that_is_given(
    fresh: Path, yunet_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUET_YUNET", str(yunet_file))
    name, sentence = detect.detector_status()
    assert name == "yunet"
    assert "DUET_YUNET" in sentence
    assert not fresh.exists()


def test_yunet_is_fetched_once_and_kept(
    fresh: Path, zoo: Callable[[bytes], list[str]], yunet_file: Path
) -> None:
    requests = zoo(yunet_file.read_bytes())
    assert detect.active_detector().name == "yunet"
    assert [path.name for path in fresh.iterdir()] == [detect.YUNET_FILE]
    detect._active = None
    assert "cache folder" in detect.detector_status()[1]
    assert len(requests) == 1


@pytest.mark.parametrize("damage", ["empty", "short", "long", "changed"])
def test_another_file_than_expected_is_not_used(
    damage: str, fresh: Path, zoo: Callable[[bytes], list[str]], yunet_file: Path
) -> None:
    good = yunet_file.read_bytes()
    zoo({"empty": b"", "short": good[:-1], "long": good + b"x", "changed": b"x" + good[1:]}[damage])
    name, sentence = detect.detector_status()
    assert name == "mtcnn"
    assert "another file" in sentence
    assert not fresh.exists()


def test_a_damaged_copy_in_the_cache_is_replaced(
    fresh: Path, zoo: Callable[[bytes], list[str]], yunet_file: Path
) -> None:
    fresh.mkdir()
    (fresh / detect.YUNET_FILE).write_bytes(b"rotten")
    zoo(yunet_file.read_bytes())
    assert detect.active_detector().name == "yunet"
    assert (fresh / detect.YUNET_FILE).read_bytes() == yunet_file.read_bytes()


@pytest.mark.parametrize("obstacle", ["forbidden", "homeless"])
def test_without_a_cache_folder_yunet_is_still_fetched(
    obstacle: str,
    fresh: Path,
    zoo: Callable[[bytes], list[str]],
    yunet_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(error: Exception) -> Callable[..., Any]:
        def call(*_: Any, **__: Any) -> Any:
            raise error

        return call

    if obstacle == "forbidden":
        for method in ("exists", "mkdir"):
            monkeypatch.setattr(Path, method, fail(PermissionError("cache")))
    else:
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setattr(Path, "home", fail(RuntimeError("no home")))
    content = yunet_file.read_bytes()
    assert zoo(content) == []
    name, sentence = detect.detector_status()
    assert name == "yunet"
    assert "fetched" in sentence


def test_a_failed_fetch_is_not_repeated(
    fresh: Path, zoo: Callable[[bytes], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUET_YUNET", str(fresh / "nowhere.onnx"))
    requests = zoo(b"nothing")
    with ThreadPoolExecutor(4) as pool:
        names = list(pool.map(lambda _: detect.active_detector().name, range(8)))
    assert names == ["mtcnn"] * 8
    assert len(requests) == 1
    assert "nowhere.onnx cannot be read" in detect.detector_status()[1]


def test_a_download_that_trickles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Trickle:
        def __enter__(self) -> Trickle:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def read1(self, _: int) -> bytes:
            time.sleep(0.02)
            return b"x"

    monkeypatch.setattr(detect.urllib.request, "urlopen", lambda *_, **__: Trickle())
    with pytest.raises(TimeoutError):
        detect._download("http://localhost/", 10_000, 0.1)


def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detect, "STALL_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(TimeoutError):
        detect._download(f"http://127.0.0.1:{silent.getsockname()[1]}/", 10_000, 60)


def test_without_any_detector_the_sentence_says_what_to_do(
    fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    assert detect.detector_status()[0] == "none"
    for _ in range(2):
        with pytest.raises(DuetError, match="set DUET_YUNET") as caught:
            detect.active_detector()
        assert caught.value.code == "no_detector"


def test_altered_mtcnn_weights_are_not_loaded(
    fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "assets" / "weights"
    weights.mkdir(parents=True)
    (weights / "pnet.lz4").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: spec)
    assert "pnet.lz4 is not that of mtcnn" in detect.detector_status()[1]


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/duet"),
        ("linux", {}, "/home/her/.cache/duet"),
        ("darwin", {"XDG_CACHE_HOME": "/x"}, "/home/her/Library/Caches/duet"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/duet"),
    ],
)
def test_the_cache_folder_is_the_systems(
    platform: str, variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/her"))
    assert detect.cache_folder() == Path(expected)
