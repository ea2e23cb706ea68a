"""Training from end to end on small made-up data, and each piece that numbers rest on."""

from __future__ import annotations

import csv
import json
from pathlib import Path, PurePosixPath

import cv2
import keras
import numpy as np
import pytest

from core.face.tensor import FACE_SIZE, face_tensor
from core.labels import EMOTIONS
from core.measures import confusion_matrix
from core.models import Model, read_info
from core.predictions import read_predictions
from tests.media_makers import wav
from training import fer2013, fusion, measures, voice, voices
from training.__main__ import main
from training.architectures import ARCHITECTURES
from training.augment_face import STRONG, augmented_faces
from training.augment_voice import (
    add_noise,
    change_pitch_and_tempo,
    random_spectrogram,
    random_voice,
    through_codec,
)
from training.evaluate import fit_temperature
from training.files import DataSetError, Files, locate
from training.loop import Batches, Schedule, fit


@pytest.fixture(scope="module")
def small_data(tmp_path_factory) -> Path:
    """FER2013's and RAVDESS's layouts with made-up content that a network can tell apart."""
    data = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(3)
    numbers = iter(range(100_000))
    for split, folder, count in (
        ("Training", "train", 6),
        ("PublicTest", "test", 3),
        ("PrivateTest", "test", 3),
    ):
        for label, emotion in enumerate(EMOTIONS):
            place = data / "fer2013" / folder / emotion
            place.mkdir(parents=True, exist_ok=True)
            for _ in range(count):
                image = rng.integers(60, 120, (FACE_SIZE, FACE_SIZE), np.uint8)
                image[label * 6 : label * 6 + 6] += 100
                cv2.imwrite(str(place / f"{split}_{next(numbers)}.jpg"), image)
    original = next((data / "fer2013/test/happy").glob("PrivateTest_*"))
    (data / "fer2013/train/happy/Training_copy.jpg").write_bytes(original.read_bytes())
    for actor in (1, 2, 3, 4):
        place = data / "ravdess" / f"Actor_{actor:02}"
        place.mkdir(parents=True)
        for code in range(1, 9):
            for statement in (1, 2):
                time = np.arange(9600) / 16_000
                tone = np.sin(2 * np.pi * (120 + 60 * code + actor) * time)
                samples = 0.3 * tone * (1 + 0.5 * np.sin(2 * np.pi * statement * 3 * time))
                name = f"03-01-{code:02}-01-{statement:02}-01-{actor:02}.wav"
                (place / name).write_bytes(wav(samples.astype(np.float32), rate=16_000))
    (data / "ravdess/Actor_01/03-01-01-01-01-02-01.wav").write_bytes(b"RIFF rotten")
    return data


@pytest.mark.parametrize("name", ["face-cnn", "voice-cnn"])
def test_one_command_makes_a_model_and_another_reproduces_its_numbers(
    name, small_data, tmp_path, capsys, monkeypatch
):
    # The made-up recordings are tones, which the real search for speech rightly refuses.
    monkeypatch.setattr(voices, "find_speech", lambda recording: [(0.0, recording.duration)])
    models = tmp_path / "models"
    common = [name, "--data", str(small_data), "--models", str(models)]
    arguments = ["train", *common, "--run", str(tmp_path / "runs" / name), "--epochs", "1"]
    assert main(arguments) == 0
    folder = models / name
    info = read_info(folder)
    Model(info)  # its hash fits
    assert info.parameters == ARCHITECTURES[name]().count_params()
    assert {p.name for p in folder.iterdir()} == {
        "model.tflite",
        "model.json",
        "evaluation.json",
        "predictions.npz",
        "history.csv",
        "README.md",
    }
    for split, found in read_predictions(info).items():
        measured = info.evaluation["splits"][split]["confusion_matrix"]
        matrix = confusion_matrix(found.labels, found.answers)
        assert matrix.tolist() == measured
        assert len(set(found.ids)) == len(found.ids)
    rows = list(csv.DictReader((folder / "history.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert [row["stage"] for row in rows] == ["1", "2"]
    capsys.readouterr()
    assert main(["evaluate", *common, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["splits"] == info.evaluation["splits"]
    assert main(["evaluate", *common, "--split", "test", "--json"]) == 0
    only = json.loads(capsys.readouterr().out)["splits"]
    assert only["test"] == info.evaluation["splits"]["test"]
    assert "validation" not in only
    assert main(["evaluate", *common, "--split", "nonsense"]) == 1
    assert "nonsense" in capsys.readouterr().err


def test_evaluate_on_class_named_folders_names_what_it_leaves_out(tmp_path, capsys, small_data):
    from core.models import MODELS_FOLDER

    own = tmp_path / "own"
    for emotion, source in (("Happiness", "happy"), ("sad", "sad")):
        (own / emotion).mkdir(parents=True)
        for image in list((small_data / "fer2013/test" / source).iterdir())[:2]:
            (own / emotion / image.name).write_bytes(image.read_bytes())
    (own / "sad" / "rotten.png").write_text("no picture")
    assert main(["evaluate", "face-cnn", "--data", str(own), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["splits"]["folder"]
    assert found["n"] == 4
    assert found["classes"]["happy"]["support"] == 2
    assert len(found["left_out"]) == 1
    assert "rotten.png" in found["left_out"][0]
    assert main(["evaluate", "face-cnn", "--data", str(tmp_path / "nowhere")]) == 1
    assert main(["evaluate", "nobody", "--data", str(own)]) == 1
    assert MODELS_FOLDER.is_dir()


def test_unknown_names_and_missing_data_get_a_sentence(tmp_path, capsys):
    for arguments in (
        ["train", "nobody", "--data", str(tmp_path)],
        ["train", "face-cnn", "--data", str(tmp_path), "--run", str(tmp_path / "run")],
        ["train", "voice-cnn", "--data", str(tmp_path), "--run", str(tmp_path / "run")],
    ):
        assert main(arguments) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "Traceback" not in error


# --- the loop ---------------------------------------------------------------------------------


def _tiny(run: Path, stop_before: int | None = None, epochs: int = 3) -> list[dict[str, str]]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 10)).astype(np.float32)
    y = np.eye(7, dtype=np.float32)[np.arange(64) % 7]

    def build() -> keras.Model:
        inputs = keras.Input((10,))
        hidden = keras.layers.Dense(16, activation="relu")(inputs)
        return keras.Model(inputs, {"logits": keras.layers.Dense(7)(hidden)})

    def epoch_batches(epoch: int) -> Batches:
        if epoch == stop_before:
            raise KeyboardInterrupt
        order = np.random.default_rng(epoch).permutation(64)
        return Batches(
            2, lambda i: (x[order[i * 32 : i * 32 + 32]], y[order[i * 32 : i * 32 + 32]])
        )

    def score(model: keras.Model) -> dict[str, float]:
        answers = model.predict(x, verbose=0)["logits"].argmax(1)
        return {"score": float(np.mean(answers == y.argmax(1)))}

    fit(
        build, Schedule(epochs, batch_size=32, dtype_policy="float32"), 2, epoch_batches, score, run
    )
    return list(csv.DictReader((run / "history.csv").open()))


def test_a_broken_off_run_goes_on_as_if_it_had_not_been(tmp_path):
    unbroken = _tiny(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        _tiny(tmp_path / "b", stop_before=2)
    resumed = _tiny(tmp_path / "b")
    assert [row["epoch"] for row in resumed] == ["1", "2", "3"]
    for one, other in zip(unbroken, resumed, strict=True):
        for key in ("loss", "val_score", "learning_rate"):
            assert float(one[key]) == pytest.approx(float(other[key]), rel=1e-4), key


def test_a_run_of_another_schedule_is_not_mixed_in(tmp_path):
    _tiny(tmp_path)
    with pytest.raises(DataSetError, match="another recipe"):
        _tiny(tmp_path, epochs=5)


# --- data -------------------------------------------------------------------------------------


def test_training_faces_hold_no_copy_of_a_held_out_one(small_data):
    raw, clean = fer2013.load(small_data), fer2013.training_splits(small_data)
    assert len(raw["train"]) == 43
    assert len(clean["train"]) == 42
    assert not set(clean["train"].digests) & set(clean["test"].digests)
    assert len(clean["test"]) == len(raw["test"]) == 21


def test_the_real_fer2013_is_what_its_papers_say(shared):
    splits = fer2013.load(shared / "data")
    assert {s: len(f) for s, f in splits.items()} == {
        "train": 28_709,
        "validation": 3_589,
        "test": 3_589,
    }
    distinct = fer2013.without_copies_of(splits["test"], splits["train"])
    assert len(distinct) == 3_301


def test_the_four_voice_sets_give_the_papers_table(shared):
    clips = voices.clips(shared / "data")
    assert {c: sum(x.corpus == c for x in clips) for c in voices.CORPORA} == {
        "ravdess": 1440,
        "crema_d": 7442,
        "savee": 480,
        "tess": 2800,
    }
    counted = {e: sum(x.emotion == e for x in clips) for e in EMOTIONS}
    assert counted == {
        **dict.fromkeys(("fear", "angry", "sad", "disgust", "happy"), 1923),
        "neutral": 1895,
        "surprise": 652,
    }
    speakers = {
        split: {(x.corpus, x.speaker) for x in clips if x.split == split}
        for split in ("train", "validation", "test")
    }
    assert not speakers["train"] & speakers["test"]
    assert not speakers["train"] & speakers["validation"]
    assert not speakers["validation"] & speakers["test"]
    assert len(speakers["test"]) == 5 + 18 + 1 + 1


@pytest.mark.parametrize(
    ("corpus", "name", "expected"),
    [
        ("ravdess", "03-01-02-01-01-01-24", ("24", "neutral")),
        ("ravdess", "02-01-02-01-01-01-24", None),
        ("crema_d", "1076_MTI_SAD_XX", ("1076", "sad")),
        ("savee", "JK_su15", ("JK", "surprise")),
        ("savee", "DC_a01", ("DC", "angry")),
        ("tess", "OA_bite_neutral", ("OAF", "neutral")),
        ("tess", "YAF_home_ps", ("YAF", "surprise")),
        ("tess", "readme", None),
    ],
)
def test_clip_names_are_parsed(corpus, name, expected):
    assert voices.parse(corpus, PurePosixPath(f"some/{name}.wav")) == expected


def test_zip_and_folder_read_alike(small_data, tmp_path):
    import shutil

    shutil.make_archive(str(tmp_path / "fer2013"), "zip", small_data / "fer2013")
    zipped = fer2013.load(tmp_path)
    for split, faces in fer2013.load(small_data).items():
        np.testing.assert_array_equal(zipped[split].images, faces.images)
    assert locate(tmp_path, "ravdess") is None
    with pytest.raises(DataSetError, match="neither a folder nor a zip"):
        Files(tmp_path / "nothing")


# --- augmentation and drawing ------------------------------------------------------------------


def test_augmented_faces_are_seeded_and_standardised():
    faces = np.random.default_rng(0).integers(0, 255, (8, FACE_SIZE, FACE_SIZE), np.uint8)
    one, again, other = (
        augmented_faces(faces, 44, STRONG, np.random.default_rng(s)) for s in (1, 1, 2)
    )
    assert one.shape == (8, 44, 44, 1)
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).mean() > 0.1
    assert abs(one.mean()) < 0.2


def test_face_tensor_standardises_each_face_and_leaves_blank_ones_blank():
    faces = np.stack(
        [np.full((48, 48), 77, np.uint8), np.tile(np.arange(48, dtype=np.uint8), (48, 1))]
    )
    tensors = face_tensor(faces)
    assert not tensors[0].any()
    assert tensors[1].std() == pytest.approx(1, abs=1e-3)
    with pytest.raises(ValueError, match="uint8"):
        face_tensor(faces.astype(np.float32))


def _hum(frequency: float = 220.0, seconds: float = 1.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * 16_000)) / 16_000)).astype(
        np.float32
    )


def _pitch(samples: np.ndarray) -> float:
    return float(
        np.abs(np.fft.rfft(samples * np.hanning(len(samples)))).argmax() * 16_000 / len(samples)
    )


def test_pitch_and_tempo_change_apart():
    samples = _hum()
    higher = change_pitch_and_tempo(samples, 1.12, 1.0)
    faster = change_pitch_and_tempo(samples, 1.0, 1.12)
    assert _pitch(higher) == pytest.approx(220 * 1.12, rel=0.02)
    assert len(higher) == pytest.approx(len(samples), rel=0.05)
    assert _pitch(faster) == pytest.approx(220, rel=0.02)
    assert len(faster) == pytest.approx(len(samples) / 1.12, rel=0.05)


def test_noise_comes_at_its_level_and_codec_keeps_the_tone():
    samples, rng = _hum(), np.random.default_rng(0)
    noise = add_noise(samples, 10.0, 1.0, rng) - samples
    ratio = 10 * np.log10(np.mean(samples**2) / np.mean(noise**2))
    assert ratio == pytest.approx(10, abs=0.1)
    assert _pitch(through_codec(samples, 24_000)) == pytest.approx(220, rel=0.02)


@pytest.mark.parametrize("seed", range(12))
def test_augmented_clips_stay_finite_and_of_about_their_length(seed):
    samples = random_voice(_hum(seconds=0.7), np.random.default_rng(seed))
    assert np.isfinite(samples).all()
    assert 0.5 * 11_200 < len(samples) < 1.6 * 11_200


@pytest.mark.parametrize("frames", [40, 100, 250])
def test_random_spectrograms_have_the_asked_length(frames):
    x = np.random.default_rng(0).standard_normal((100, 64)).astype(np.float16)
    out = random_spectrogram(x, frames, 1.0, np.random.default_rng(1))
    assert out.shape == (frames, 64)
    assert out.dtype == np.float32


def _clip(corpus: str, emotion: str) -> voices.Clip:
    return voices.Clip(corpus, "x", "1", emotion, "train")


def test_every_emotion_of_a_corpus_is_drawn_alike():
    clips = (
        *[_clip("ravdess", "happy")] * 30,
        *[_clip("ravdess", "sad")] * 10,
        *[_clip("crema_d", "sad")] * 60,
    )
    p = voice.drawing_probabilities(clips)
    assert p.sum() == pytest.approx(1)
    assert p[:30].sum() == pytest.approx(p[30:40].sum())
    assert p[40:].sum() / p[:40].sum() == pytest.approx(
        voice.CORPUS_SHARE["crema_d"] / voice.CORPUS_SHARE["ravdess"]
    )


def test_a_corpus_without_surprise_teaches_nothing_about_it():
    logits = keras.ops.convert_to_tensor(np.zeros((1, 7), np.float32))
    loss = voice.masked_cross_entropy(0.1)
    allowed = np.ones((1, 7), np.float32)
    allowed[0, EMOTIONS.index("surprise")] = 0
    target = np.concatenate([np.eye(7, dtype=np.float32)[:1], allowed], axis=1)
    even = float(loss(target, logits)[0])
    raised = np.zeros((1, 7), np.float32)
    raised[0, EMOTIONS.index("surprise")] = 5.0
    assert even == pytest.approx(np.log(6), abs=1e-4)
    assert float(loss(target, keras.ops.convert_to_tensor(raised))[0]) == pytest.approx(even)


def test_mixup_keeps_to_corpora_that_know_the_same_emotions():
    n = 40
    x = np.zeros((n, 4, 64), np.float32)
    allowed = np.ones((n, 7), np.float32)
    allowed[: n // 2, 6] = 0
    x[n // 2 :] = 1.0
    labels = np.eye(7, dtype=np.float32)[np.arange(n) % 6]
    mixed, soft = voice.mixed_up(x, labels, allowed, 0.5, np.random.default_rng(0))
    assert not mixed[: n // 2].any()
    np.testing.assert_allclose(mixed[n // 2 :], 1.0, rtol=1e-6)
    np.testing.assert_allclose(soft.sum(axis=1), 1, rtol=1e-5)
    assert (np.count_nonzero(soft, axis=1) > 1).any()


# --- measures ---------------------------------------------------------------------------------


def test_measures_of_a_known_case():
    labels = np.array([0, 0, 0, 0, 3, 3])
    p = np.full((6, 7), 0.02)
    p[np.arange(6), [0, 0, 0, 3, 3, 0]] = 0.88
    found = measures.summary(p, labels)
    assert found["accuracy"] == pytest.approx(4 / 6, abs=1e-4)
    assert found["unweighted_average_recall"] == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert found["expected_calibration_error"] == pytest.approx(0.88 - 4 / 6, abs=1e-3)
    assert found["confusion_matrix"][0][3] == 1
    low, high = found["accuracy_95"]
    assert low <= found["accuracy"] <= high
    assert found["classes"]["angry"]["precision"] == pytest.approx(3 / 4)


def test_temperature_undoes_overconfidence():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((4000, 7)) * 1.5
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.array([rng.choice(7, p=row) for row in p])
    assert fit_temperature(logits * 2.5, labels) == pytest.approx(2.5, rel=0.1)


def test_fused_pairs_share_their_label_and_cover_all_emotions(monkeypatch):
    from training.evaluate import Answers

    monkeypatch.setattr(fusion, "PAIRS_PER_EMOTION", 20)
    labels = np.repeat(np.arange(7), 5)
    logits = np.eye(7)[labels] * 9
    corpora = np.where(np.arange(35) % 2, "ravdess", "tess")
    answers = Answers(logits, labels, corpora, np.arange(35).astype(str))
    face, heard, truth = fusion.label_matched_pairs(
        answers, answers, (1.0, 1.0), np.random.default_rng(1)
    )
    assert face.shape == heard.shape == (140, 7)
    np.testing.assert_array_equal(face.argmax(1), truth)
    np.testing.assert_array_equal(heard.argmax(1), truth)
    assert np.bincount(truth).tolist() == [20] * 7
