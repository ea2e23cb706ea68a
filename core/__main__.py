"""The command line: `python -m core analyze FILE...`, `pair`, `models` and `bench`.

Exit status: 0 when everything was answered, 1 when something was not (the rest still is),
2 for wrong usage. With `--json` each line of the output is one JSON object; a failure is
`{"source": ..., "error": {"code": ..., "message": ...}}`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from core.errors import DuetError
from core.words import percent

if TYPE_CHECKING:  # what needs OpenCV, FFmpeg or a model is imported when a command needs it
    from core.models import ModelInfo
    from core.results import HybridResult, ImageResult, Prediction, VoiceResult

    AnyResult = ImageResult | VoiceResult | HybridResult

STANDARD_INPUT = "-"
_NAMED = {STANDARD_INPUT: "standard input"}
BAR_WIDTH = 30
"""Characters of the bar of a probability of 1."""

MEASURES = (
    ("n", "n"),
    ("accuracy", "accuracy"),
    ("unweighted_average_recall", "unweighted average recall"),
)
"""Of each split in `evaluation.json`, and how they are called."""

INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    if sys.stdout is None:  # closed by whoever started us
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process lives
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has read enough.
        _drop_output()
        return 0
    except OSError as error:
        what = error.filename or "The output"
        print(f"{what} cannot be used: {error.strerror or error}.", file=sys.stderr)
        _drop_output()
        return 1


def _drop_output() -> None:
    """Let what Python still holds go nowhere, or flushing it at exit would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m core", description="Tell how people seem to feel, from face and voice."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        name: str, run: Callable[[argparse.Namespace], int], words: str
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=words, description=words)
        added.set_defaults(run=run, parser=added)
        added.add_argument("--json", action="store_true", help="print one JSON object a line")
        return added

    analyze = command("analyze", _analyze, "Analyse pictures and recordings.")
    analyze.add_argument(
        "files", nargs="+", metavar="FILE", help="a picture or a recording; - reads standard input"
    )
    _add_analysis_options(analyze)

    pair = command("pair", _pair, "Analyse a face and a voice together.")
    pair.add_argument("picture", metavar="PICTURE", help="- reads standard input")
    pair.add_argument("recording", metavar="RECORDING", help="likewise, of one of the two")
    _add_analysis_options(pair)

    command("models", _models, "List the installed models and how good they are.")

    bench = command("bench", _bench, "Measure speed and memory on this machine.")
    bench.add_argument("--photo", metavar="FILE", help="a photo with one face")
    bench.add_argument("--voice", metavar="FILE", help="a recording of about three seconds")
    bench.add_argument(
        "--data", metavar="PATH", help="FER2013, or with --live and --tones the folder of all sets"
    )
    bench.add_argument(
        "--live", action="store_true", help="measure the Live page in Chromium instead"
    )
    bench.add_argument(
        "--tones",
        choices=["validation", "test"],
        help="only how soon the Live page names a new tone, on speakers of that split of RAVDESS "
        "and CREMA-D below --data; no browser",
    )
    bench.add_argument(
        "--seconds", type=_positive, default=30, help="of each run with --live (default 30)"
    )
    bench.add_argument("--runs", type=_positive, default=50, help="repetitions (default 50)")
    return parser


def _add_analysis_options(parser: argparse.ArgumentParser) -> None:
    for task in ("face", "voice"):
        parser.add_argument(
            f"--{task}-model", metavar="NAME", help=f"the {task} model to use, not the default"
        )
    parser.add_argument(
        "--faces",
        choices=["detect", "cropped"],
        default="detect",
        help="find the faces (default), or take a picture as one cropped face",
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def _check_model_names(options: argparse.Namespace) -> None:
    """A name that no installed model has is wrong usage, not a fault of the files."""
    from core.models import find

    try:
        if options.face_model is not None:
            find("face", options.face_model)
        if options.voice_model is not None:
            find("voice", options.voice_model)
    except DuetError as error:
        options.parser.error(error.message)


def _analyze(options: argparse.Namespace) -> int:
    _check_model_names(options)
    answered = [_answer(options, *_source(name, options)) for name in options.files]
    _tell_if_slower()
    return 0 if all(answered) else 1


def _tell_if_slower() -> None:
    """Say so where faces were found more slowly than they could be; nothing where none were."""
    detect = sys.modules.get("core.face.detect")
    if detect and (why := detect.why_slower()):
        print(why, file=sys.stderr)


def _source(name: str, options: argparse.Namespace) -> tuple[str, Callable[[], AnyResult]]:
    """What to call one file, and the function that analyses it."""

    def run() -> AnyResult:
        from core.analysis import analyze

        return analyze(
            _given(name),
            name=shown,
            face_model=options.face_model,
            voice_model=options.voice_model,
            faces=options.faces,
        )

    shown = _NAMED.get(name, name)
    return shown, run


def _given(name: str) -> str | bytes:
    """The path, or what standard input holds."""
    from core.limits import MAX_FILE_BYTES

    if name != STANDARD_INPUT:
        return name
    if sys.stdin is None:
        raise DuetError("not_found", "standard input is closed; name a file.")
    # One byte over the limit is enough to be refused as too large.
    return sys.stdin.buffer.read(MAX_FILE_BYTES + 1)


def _pair(options: argparse.Namespace) -> int:
    _check_model_names(options)
    if options.picture == options.recording == STANDARD_INPUT:
        options.parser.error("only one of the two can be read from standard input")

    def analyze() -> AnyResult:
        from core.analysis import analyze_pair

        return analyze_pair(
            _given(options.picture),
            _given(options.recording),
            picture_name=_NAMED.get(options.picture),
            recording_name=_NAMED.get(options.recording),
            face_model=options.face_model,
            voice_model=options.voice_model,
            faces=options.faces,
        )

    source = " + ".join(_NAMED.get(one, one) for one in (options.picture, options.recording))
    answered = _answer(options, source, analyze)
    _tell_if_slower()
    return 0 if answered else 1


def _answer(options: argparse.Namespace, name: str, analyze: Callable[[], AnyResult]) -> bool:
    """Print the result of `analyze`, or why there is none; True when there is one."""
    from core.media import printable

    source = printable(name)
    try:
        result = analyze()
    except DuetError as error:
        failure = error
    except Exception as error:  # noqa: BLE001 - whatever happens, the other files get their turn
        failure = DuetError(
            "internal", f"Duet itself failed ({type(error).__name__}: {error}); please report it."
        )
    else:
        if options.json:
            _print_json(result.to_dict())
        else:
            _print_lines(summary(result))
        return True
    if options.json:
        _print_json({"source": source, "error": failure.to_dict()})
    else:
        sys.stdout.flush()
        # Most sentences begin with the file's name already.
        named = failure.message.startswith(source)
        blamed = failure.message if named else f"{source}: {failure.message}"
        print(f"{blamed} [{failure.code}]", file=sys.stderr)
    return False


def _print_json(value: dict[str, Any]) -> None:
    print(json.dumps(value, allow_nan=False), flush=True)


def _print_lines(lines: Iterator[str]) -> None:
    """Print, writing what the terminal's encoding lacks as `?`."""
    encoding = sys.stdout.encoding or "ascii"
    for line in lines:
        print(line.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


def summary(result: AnyResult) -> Iterator[str]:
    """The lines that tell a person what was found."""
    from core.results import HybridResult, ImageResult

    if isinstance(result, HybridResult):
        yield from _hybrid_summary(result)
    elif isinstance(result, ImageResult):
        yield from _image_summary(result)
    else:
        yield from _voice_summary(result)


def _image_summary(result: ImageResult) -> Iterator[str]:
    count = len(result.faces)
    yield (
        f"{result.source}: {result.width} x {result.height}, {count} face{'s' * (count != 1)} "
        f"({result.detector}, {result.model}, {result.milliseconds.get('total', 0):.0f} ms)"
    )
    for number, face in enumerate(result.faces, 1):
        box = face.box
        yield (
            f"  Face {number} at ({box.x:.0f}, {box.y:.0f}), "
            f"{box.width:.0f} x {box.height:.0f} pixels: {_verdict(face.emotion)}"
        )
        yield from _bars(face.emotion)
        yield from (f"    Note: {note.message}" for note in face.quality)


def _voice_summary(result: VoiceResult) -> Iterator[str]:
    yield (
        f"{result.source}: {result.duration:.1f} s, {result.speech_seconds:.1f} s of speech "
        f"({result.model}, {result.milliseconds.get('total', 0):.0f} ms)"
    )
    yield f"  Voice: {_verdict(result.emotion)}"
    yield from _bars(result.emotion)
    yield from (f"    Note: {note.message}" for note in result.quality)
    if len(result.timeline) > 1:
        yield "  Over time"
        for point in result.timeline:
            heard = _verdict(point.emotion) if point.emotion else "no speech"
            yield f"    {point.start:6.1f} to {point.end:5.1f} s  {heard}"


def _hybrid_summary(result: HybridResult) -> Iterator[str]:
    yield result.sentence
    yield f"  Face:     {_verdict(result.face.emotion)}"
    yield f"  Voice:    {_verdict(result.voice.emotion)}"
    yield (
        f"  Together: {_verdict(result.fused)}, face {result.weights['face']:.0%} "
        f"and voice {result.weights['voice']:.0%} ({result.method})"
    )
    if picture := result.picture:
        count = len(picture.faces)
        which = f", face {result.number} of {count}" if count > 1 else ""
        heard = f"{result.voice.source} ({result.voice.model})"
        yield f"  From {picture.source}{which} ({picture.model}) and {heard}"
    yield from _bars(result.fused)


def _verdict(emotion: Prediction) -> str:
    return f"{emotion.label} {percent(emotion.confidence)}{' (unsure)' if emotion.unsure else ''}"


def _bars(emotion: Prediction) -> Iterator[str]:
    mark = "█" if sys.stdout.isatty() else "#"
    for name, probability in emotion.ranked:
        bar = mark * round(probability * BAR_WIDTH)
        yield f"    {name:9}{probability:6.1%}  {bar}".rstrip()


def _models(options: argparse.Namespace) -> int:
    from core.models import installed

    models, broken = installed()
    for model in models:
        if options.json:
            _print_json(_model_dict(model))
        else:
            _print_lines(_model_lines(model))
    for folder in broken:
        failure = DuetError("damaged_model", folder.problem)
        if options.json:
            _print_json({"source": str(folder.folder), "error": failure.to_dict()})
        else:
            print(f"{folder.folder.name}: {failure.message} [{failure.code}]", file=sys.stderr)
    if not models and not options.json:
        print("No model is installed.", file=sys.stderr)
    return 0 if models and not broken else 1


def _model_dict(model: ModelInfo) -> dict[str, Any]:
    return {
        "name": model.name,
        "task": model.task,
        "title": model.title,
        "architecture": model.architecture,
        "default": model.default,
        "parameters": model.parameters,
        "bytes": model.bytes,
        "evaluation": model.evaluation,
    }


def _model_lines(model: ModelInfo) -> Iterator[str]:
    yield f"{model.name} ({model.task}{', default' if model.default else ''}): {model.title}"
    yield f"  {model.architecture}"
    yield f"  {model.parameters / 1e6:.2f} M parameters, {model.bytes / 1e6:.1f} MB"
    for name, measures in model.evaluation.get("splits", {}).items():
        yield f"  {name:24}" + "".join(_measure(measures, key, words) for key, words in MEASURES)


def _measure(measures: Any, key: str, words: str) -> str:
    """One measure of a split, or a dash where `evaluation.json` lacks it."""
    value = measures.get(key) if isinstance(measures, dict) else None
    if not isinstance(value, int | float):
        shown = "-"
    else:
        shown = f"{value:d}" if isinstance(value, int) else f"{value:.1%}"
    return f"  {words} {shown:>5}"


def _bench(options: argparse.Namespace) -> int:
    from core import bench
    from core.datasets import DataSetError
    from core.live import bench as live_bench
    from core.live import tones

    lines = tones.lines if options.tones else live_bench.lines if options.live else bench.lines
    try:
        if options.tones:
            report = tones.measure(options.data or ".", options.tones)
        elif options.live:
            report = live_bench.run(data=options.data, seconds=options.seconds)
        else:
            report = bench.run(
                photo=options.photo, voice=options.voice, data=options.data, runs=options.runs
            )
    except (DuetError, DataSetError) as error:
        told = error if isinstance(error, DuetError) else DuetError("not_found", str(error))
        if options.json:
            _print_json({"source": "bench", "error": told.to_dict()})
        else:
            print(f"{told.message} [{told.code}]", file=sys.stderr)
        return 1
    if options.json:
        _print_json(report)
    else:
        _print_lines(lines(report))
    return 0


def _quiet_libraries() -> None:
    """Let only Python write to the error output: LiteRT announces there how it computes."""
    if sys.stderr is None:  # closed by whoever started us
        return
    descriptor = sys.stderr.fileno()
    own = os.dup(descriptor)
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
    sys.stderr = open(  # noqa: SIM115 - for as long as the process lives
        own, "w", buffering=1, encoding=sys.stderr.encoding, errors=sys.stderr.errors
    )


if __name__ == "__main__":
    _quiet_libraries()
    sys.exit(main())
