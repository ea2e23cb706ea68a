"""The command line: exit status, JSON lines, words for people, and what it does not import."""

from __future__ import annotations

import io
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from core import bench, models
from core.__main__ import INTERRUPTED, main
from core.errors import DuetError
from core.face import detect
from core.labels import EMOTIONS
from core.limits import MAX_FILE_BYTES
from core.results import (
    Box,
    FaceResult,
    HybridResult,
    ImageResult,
    Prediction,
    QualityNote,
    TimelinePoint,
    VoiceResult,
)
from tests.browser import ROOT, environment, photo, speech

HAPPY = Prediction((0.02, 0.02, 0.02, 0.8, 0.1, 0.02, 0.02))
PERHAPS_SAD = Prediction((0.1, 0.1, 0.1, 0.1, 0.1, 0.4, 0.1))

NOTE = QualityNote("too_small", "The face is small, so the answer is less certain.")


def image_result(source: str = "photo.jpg") -> ImageResult:
    face = FaceResult(
        box=Box(10, 20, 100, 120),
        landmarks=None,
        detection_score=0.9,
        emotion=HAPPY,
        quality=(NOTE,),
        framed=np.zeros((48, 48), np.uint8),
        evidence=np.zeros((6, 6, 7), np.float32),
        to_frame=np.eye(2, 3),
    )
    return ImageResult(source, 640, 480, "yunet", "face-cnn", (face,), {"total": 12.3})


def voice_result(source: str = "clip.wav") -> VoiceResult:
    return VoiceResult(
        source=source,
        duration=4.0,
        speech=((0.5, 3.5),),
        model="voice-cnn",
        emotion=PERHAPS_SAD,
        timeline=(TimelinePoint(0, 3, PERHAPS_SAD), TimelinePoint(0.5, 3.5, None)),
        moments=(),
        quality=(),
        attention_times=np.zeros(1, np.float32),
        attention=np.ones(1, np.float32),
        milliseconds={"total": 5.0},
    )


def hybrid_result() -> HybridResult:
    return HybridResult(
        face=image_result().faces[0],
        voice=voice_result(),
        agreement="none",
        sentence="The face looks happy, the voice sounds sad: they do not agree.",
        fused=HAPPY,
        weights={"face": 0.7, "voice": 0.3},
        method="weighted",
    )


Analyze = Callable[..., Any]


@pytest.fixture
def fake_analyze(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Analyses that answer by name; what they were asked is kept in the dict."""
    asked: dict[str, Any] = {}

    def analyze(source: str | bytes, *, name: str | None = None, **options: Any) -> Any:
        asked[name or str(source)] = (source, options)
        if "rotten" in (name or ""):
            raise DuetError("damaged", "This picture is damaged; try another one.")
        if "defect" in (name or ""):
            raise ZeroDivisionError("oops")
        if "stop" in (name or ""):
            raise KeyboardInterrupt
        return voice_result(name or "") if "clip" in (name or "") else image_result(name or "")

    def analyze_pair(
        picture: str | bytes,
        recording: str | bytes,
        *,
        picture_name: str | None,
        recording_name: str | None,
        **options: Any,
    ) -> HybridResult:
        asked["pair"] = (picture, recording, options)
        asked["named"] = (picture_name, recording_name)
        return hybrid_result()

    import core.analysis

    monkeypatch.setattr(core.analysis, "analyze", analyze)
    monkeypatch.setattr(core.analysis, "analyze_pair", analyze_pair)
    return asked


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# --- with made-up answers ----------------------------------------------------------------------


def test_one_json_object_a_line(fake_analyze, capsys):
    assert main(["analyze", "a.jpg", "clip.wav", "--json"]) == 0
    image, voice = json_lines(capsys.readouterr().out)
    assert image == image_result("a.jpg").to_dict()
    assert voice == voice_result("clip.wav").to_dict()


def test_a_failure_is_a_line_and_the_others_are_still_answered(fake_analyze, capsys):
    assert main(["analyze", "rotten.jpg", "a.jpg", "--json"]) == 1
    failure, answer = json_lines(capsys.readouterr().out)
    assert failure == {
        "source": "rotten.jpg",
        "error": {"code": "damaged", "message": "This picture is damaged; try another one."},
    }
    assert answer["source"] == "a.jpg"


def test_a_defect_is_told_without_a_traceback(fake_analyze, capsys):
    assert main(["analyze", "defect.jpg", "a.jpg", "--json"]) == 1
    captured = capsys.readouterr()
    failure, answer = json_lines(captured.out)
    assert failure["error"]["code"] == "internal"
    assert "ZeroDivisionError" in failure["error"]["message"]
    assert answer["kind"] == "image"
    assert "Traceback" not in captured.err


def test_failures_for_people_go_to_standard_error(fake_analyze, capsys):
    assert main(["analyze", "rotten.jpg", "a.jpg"]) == 1
    captured = capsys.readouterr()
    assert captured.err == "rotten.jpg: This picture is damaged; try another one. [damaged]\n"
    assert captured.out.startswith("a.jpg: 640 x 480, 1 face (yunet, face-cnn, 12 ms)\n")


def test_summary_of_a_picture(fake_analyze, capsys):
    main(["analyze", "a.jpg"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "  Face 1 at (10, 20), 100 x 120 pixels: happy 80%"
    assert lines[2] == "    happy     80.0%  " + "#" * 24
    assert lines[3] == "    neutral   10.0%  ###"
    assert len(lines) == 2 + len(EMOTIONS) + 1
    assert lines[-1] == f"    Note: {NOTE.message}"


def test_summary_of_a_recording(fake_analyze, capsys):
    main(["analyze", "clip.wav"])
    text = capsys.readouterr().out
    assert text.startswith("clip.wav: 4.0 s, 3.0 s of speech (voice-cnn, 5 ms)\n")
    assert "Voice: sad 40% (unsure)" in text
    assert "0.0 to   3.0 s  sad 40% (unsure)" in text
    assert "0.5 to   3.5 s  no speech" in text


def test_pair(fake_analyze, capsys):
    assert main(["pair", "a.jpg", "clip.wav"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(hybrid_result().sentence)
    assert "Together: happy 80%, face 70% and voice 30% (weighted)" in text
    assert main(["pair", "a.jpg", "clip.wav", "--json"]) == 0
    assert json_lines(capsys.readouterr().out) == [hybrid_result().to_dict()]
    assert fake_analyze["pair"][:2] == ("a.jpg", "clip.wav")


def test_options_reach_the_analysis(fake_analyze, monkeypatch):
    monkeypatch.setattr(models, "find", lambda task, name: (task, name))
    options = ["--face-model", "f", "--voice-model", "v", "--faces", "cropped"]
    assert main(["analyze", "a.jpg", *options]) == 0
    expected = {"face_model": "f", "voice_model": "v", "faces": "cropped"}
    assert fake_analyze["a.jpg"][1] == expected
    assert main(["pair", "a.jpg", "clip.wav", *options]) == 0
    assert fake_analyze["pair"][2] == expected


def test_standard_input_is_read_no_further_than_the_limit(fake_analyze, monkeypatch, capsys):
    class Endless(io.RawIOBase):
        asked = 0

        def read(self, size: int = -1) -> bytes:
            self.asked = size
            return b"x"

    class Stdin:
        buffer = Endless()

    monkeypatch.setattr(sys, "stdin", Stdin())
    assert main(["analyze", "-", "--json"]) == 0
    assert fake_analyze["standard input"][0] == b"x"
    assert Stdin.buffer.asked == MAX_FILE_BYTES + 1
    assert json_lines(capsys.readouterr().out)[0]["source"] == "standard input"


def test_a_pair_may_come_half_from_standard_input(fake_analyze, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"sound")))
    assert main(["pair", "a.jpg", "-"]) == 0
    assert fake_analyze["pair"][:2] == ("a.jpg", b"sound")
    assert fake_analyze["named"] == (None, "standard input")
    with pytest.raises(SystemExit):
        main(["pair", "-", "-"])
    assert "only one of the two" in capsys.readouterr().err


def test_a_standard_input_that_is_closed_is_no_defect(fake_analyze, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["analyze", "-"]) == 1
    assert "standard input is closed; name a file. [not_found]" in capsys.readouterr().err


def test_slower_detection_than_was_asked_for_is_told_once(fake_analyze, monkeypatch, capsys):
    sentence = "Faces are found with MTCNN, slower than YuNet, because /there cannot be read."
    monkeypatch.setattr(detect, "_active", (SimpleNamespace(name="mtcnn"), sentence))
    monkeypatch.delenv("DUET_DETECTOR", raising=False)
    assert main(["analyze", "a.jpg", "b.jpg"]) == 0
    assert capsys.readouterr().err == f"{sentence}\n"
    monkeypatch.setenv("DUET_DETECTOR", "mtcnn")
    assert main(["analyze", "a.jpg"]) == 0
    monkeypatch.setattr(detect, "_active", (SimpleNamespace(name="yunet"), "YuNet."))
    monkeypatch.delenv("DUET_DETECTOR")
    assert main(["analyze", "a.jpg"]) == 0
    assert capsys.readouterr().err == ""


def test_ctrl_c_says_so(fake_analyze, capsys):
    assert main(["analyze", "stop.jpg"]) == INTERRUPTED
    assert capsys.readouterr().err == "Stopped.\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["analyze"],
        ["unheard-of"],
        ["analyze", "a.jpg", "--faces", "none"],
        ["analyze", "a.jpg", "--face-model", "unheard-of"],
        ["pair", "a.jpg"],
        ["pair", "a.jpg", "clip.wav", "--voice-model", "unheard-of"],
        ["bench", "--runs", "0"],
        ["bench", "--runs", "many"],
    ],
)
def test_wrong_usage_is_2_and_says_what_is_right(fake_analyze, capsys, arguments):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "usage: python -m core" in captured.err
    assert "_positive" not in captured.err


def write_model(root: Path, name: str, **changes: Any) -> None:
    folder = root / name
    folder.mkdir(parents=True)
    card = {
        "name": name,
        "task": "face",
        "title": "A model",
        "architecture": "Two layers",
        "parameters": 1_234_567,
        "default": True,
        "temperature": 1.0,
        "sha256": "",
        "bytes": 1_300_000,
        "labels": list(EMOTIONS),
    } | changes
    (folder / "model.json").write_text(json.dumps(card))
    (folder / "model.tflite").write_bytes(b"")


def test_models_lists_what_is_installed_and_how_good_it_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(models, "MODELS_FOLDER", tmp_path)
    write_model(tmp_path, "good")
    measures = {"n": 3589, "accuracy": 0.691, "unweighted_average_recall": 0.66}
    evaluation = {"splits": {"test": measures, "odd": {}, "odder": None}}
    (tmp_path / "good" / "evaluation.json").write_text(json.dumps(evaluation))
    assert main(["models"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(
        "good (face, default): A model\n  Two layers\n  1.23 M parameters, 1.3 MB"
    )
    assert "  test " in text
    assert "n  3589  accuracy 69.1%  unweighted average recall 66.0%" in text
    assert "n     -  accuracy     -" in text
    assert main(["models", "--json"]) == 0
    (listed,) = json_lines(capsys.readouterr().out)
    assert listed["name"] == "good"
    assert listed["default"] is True
    assert listed["evaluation"] == evaluation


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_an_evaluation_with_a_number_that_is_none_counts_as_absent(
    tmp_path, monkeypatch, capsys, number
):
    monkeypatch.setattr(models, "MODELS_FOLDER", tmp_path)
    write_model(tmp_path, "good")
    evaluation = f'{{"splits": {{"test": {{"accuracy": {number}}}}}}}'
    (tmp_path / "good" / "evaluation.json").write_text(evaluation)
    assert main(["models", "--json"]) == 0
    (listed,) = json_lines(capsys.readouterr().out)
    assert listed["evaluation"] == {}


def test_a_home_of_nobody_is_no_home(monkeypatch):
    monkeypatch.setenv("DUET_HOME", "~nobody-is-called-that/duet")
    assert main(["models"]) == 0


def test_models_tells_of_broken_folders(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(models, "MODELS_FOLDER", tmp_path)
    write_model(tmp_path, "good")
    write_model(tmp_path, "bad", task="smell")
    assert main(["models", "--json"]) == 1
    good, bad = json_lines(capsys.readouterr().out)
    assert good["name"] == "good"
    assert bad["error"]["code"] == "damaged_model"
    assert bad["source"].endswith("bad")


def test_models_without_any(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(models, "MODELS_FOLDER", tmp_path)
    assert main(["models"]) == 1
    assert "No model is installed." in capsys.readouterr().err


# --- with the models that are shipped ----------------------------------------------------------


def command(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """`python -m core` as people run it."""
    return python("-m", "core", *arguments, **options)


def python(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Python in a process of its own, in the repository."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )


REPEATED = """
import resource
import core
import numpy as np

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def several_at_once():
    return [np.ones(500_000, np.float32) for _ in range(6)]

several_at_once()
before = faults()
for _ in range(20):
    several_at_once()
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's way of giving memory")
def test_memory_of_arrays_is_used_again():
    """Arrays as large as those of a recording do not come from the system page by page."""
    done = python("-c", REPEATED)
    assert done.returncode == 0, done.stderr
    pages = 6 * 500_000 * 4 / os.sysconf("SC_PAGE_SIZE")
    assert int(done.stdout) < pages


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A photo with one face, somebody speaking, and files that are of no use."""
    folder = tmp_path_factory.mktemp("files")
    picture = photo()
    contents = {
        "photo.jpg": picture,
        "speech.ogg": speech(),
        "truncated.jpg": picture[:600],
        "empty.png": b"",
        "text.png": b"This is no picture.\n" * 100,
        "mislabelled.wav": picture,
        "name with \u00fcml\u00e4ut and\nnewline.jpg": picture,
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: str(folder / name) for name in contents}


def test_shipped_models_answer_as_people_run_them(files):
    done = command("analyze", files["photo.jpg"], files["speech.ogg"], "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # libraries in C keep their chatter to themselves
    image, voice = json_lines(done.stdout)
    assert image["kind"] == "image"
    assert len(image["faces"]) == 1
    assert voice["kind"] == "voice"
    for emotion in (image["faces"][0]["emotion"], voice["emotion"]):
        assert list(emotion["probabilities"]) == list(EMOTIONS)
        assert sum(emotion["probabilities"].values()) == pytest.approx(1, abs=1e-3)


def test_pair_with_shipped_models(files):
    done = command("pair", files["photo.jpg"], files["speech.ogg"], "--json")
    assert done.returncode == 0, done.stderr
    (hybrid,) = json_lines(done.stdout)
    assert hybrid["kind"] == "hybrid"
    assert hybrid["sentence"]
    assert hybrid["picture"]["source"] == "photo.jpg"
    assert hybrid["picture"]["number"] == hybrid["picture"]["faces"] == 1
    assert hybrid["picture"]["width"] == hybrid["picture"]["original_width"] > 0
    assert hybrid["picture"]["model"] == "face-cnn"
    assert hybrid["voice"]["source"] == "speech.ogg"


def test_bad_files_each_get_one_sentence(files):
    rotten = [files["truncated.jpg"], files["empty.png"], files["text.png"], "/no/such/file.jpg"]
    done = command("analyze", *rotten, files["mislabelled.wav"], "--json")
    assert done.returncode == 1
    *failures, answer = json_lines(done.stdout)
    codes = [failure["error"]["code"] for failure in failures]
    assert codes == ["damaged", "empty", "unsupported", "not_found"]
    assert [failure["source"] for failure in failures] == rotten
    assert all(failure["error"]["message"].endswith(".") for failure in failures)
    assert answer["kind"] == "image"
    assert done.stderr == ""


def test_each_failure_is_a_line_that_names_its_file_once(files):
    rotten = [files["empty.png"], "/no/such/file.jpg"]
    done = command("analyze", *rotten)
    assert done.returncode == 1
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert [line.count(name) for line, name in zip(lines, rotten, strict=True)] == [1, 1]
    assert [line.rpartition(" ")[2] for line in lines] == ["[empty]", "[not_found]"]


def test_a_newline_in_a_name_stays_inside_its_line(files):
    name = files["name with \u00fcml\u00e4ut and\nnewline.jpg"]
    done = command("analyze", name, "--json")
    assert done.returncode == 0, done.stderr
    assert len(json_lines(done.stdout)) == 1


def test_an_output_that_is_closed_early_is_no_fault(files):
    arguments = [sys.executable, "-m", "core", "analyze", *[files["photo.jpg"]] * 20, "--json"]
    with subprocess.Popen(
        arguments, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        complaints = process.stderr.read().decode()
    assert process.returncode == 0
    assert "Traceback" not in complaints
    assert "BrokenPipe" not in complaints


def redirected(arguments: str, where: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", f'"$0" -m core {arguments} {where}', sys.executable],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("arguments", ["models", "models --json"])
def test_an_output_that_was_closed_beforehand_is_no_fault(arguments):
    done = redirected(arguments, ">&-")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full disk to try")
@pytest.mark.parametrize("arguments", ["models", "models --json", "analyze /no/such.jpg --json"])
def test_a_full_disk_gets_one_sentence(arguments):
    done = redirected(arguments, ">/dev/full")
    assert done.returncode == 1
    assert done.stderr == "The output cannot be used: No space left on device.\n"


NOT_TO_PREDICT = ("tensorflow", "keras", "streamlit", "plotly", "pandas", "librosa", "sklearn")

TELL_IMPORTS = """
import sys
from core.__main__ import main
status = main(sys.argv[1:])
print("\\n".join(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
sys.exit(status)
"""


@pytest.mark.parametrize(
    ("name", "other"), [("photo.jpg", ("av",)), ("speech.ogg", ("PIL",))], ids=["photo", "speech"]
)
def test_only_what_a_file_needs_is_imported(files, name, other):
    done = python("-c", TELL_IMPORTS, "analyze", files[name], "--json")
    assert done.returncode == 0, done.stderr
    imported = set(done.stderr.splitlines())
    assert "ai_edge_litert" in imported
    assert imported.isdisjoint({*NOT_TO_PREDICT, *other})


def test_shipped_models_are_whole():
    done = command("models", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    listed = json_lines(done.stdout)
    assert {model["task"] for model in listed if model["default"]} == {"face", "voice"}
    assert all(model["evaluation"] for model in listed)


def test_bench_reports_every_stage(tmp_path):
    done = command("bench", "--runs", "2", "--json")
    assert done.returncode == 0, done.stderr
    (report,) = json_lines(done.stdout)
    assert report["machine"]["cores"] >= 1
    assert report["memory_mb"] > 10
    assert all(0 < times["median"] <= times["p95"] for times in report["stages"].values())
    stages = " ".join(report["stages"])
    for stage in ("cold start", "decode", "detect", "classify", "recording"):
        assert stage in stages


def test_the_memory_told_is_not_that_of_who_measures_it(files):
    held = np.ones(100_000_000)  # 800 MB, which a child's own resource usage would begin with
    told = bench._peak_memory(Path(files["photo.jpg"]))
    assert 10e6 < told < 0.75 * held.nbytes


def test_output_that_a_terminal_cannot_show(files):
    done = subprocess.run(
        [sys.executable, "-m", "core", "analyze", files["photo.jpg"], "/no/such/\u00fc.jpg"],
        cwd=ROOT,
        env=environment() | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert os.fsencode(files["photo.jpg"]) in done.stdout
