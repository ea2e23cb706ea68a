"""`python -m training`: train, export, evaluate and report the models, fit the fusion."""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.models import ModelInfo
    from training.recipes import Recipe

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


UNUSABLE = (
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)
"""What is raised where a place that was named is of another kind, or somebody else's."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code.

    0 done, 1 the data, a model, a place or a library cannot be used, 130 stopped.
    """
    parsed = _parser().parse_args(arguments)
    from core.errors import DuetError
    from training.files import DataSetError

    try:
        parsed.run_command(parsed)
    except (DataSetError, DuetError, zipfile.BadZipFile) as error:
        print(error, file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if (error.name or "core").split(".")[0] in ("core", "training"):
            raise
        print(f"This needs {error.name}, which is not installed here.", file=sys.stderr)
        return 1
    except UNUSABLE as error:
        if error.filename is None:
            raise
        print(f"{error.filename}: {error.strerror}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from the last epoch.", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    train = commands.add_parser("train", help="train a model and write its folder; resumes")
    train.add_argument("name")
    train.add_argument("--epochs", type=_positive, help="of every stage, instead of its own")
    train.add_argument("--fraction", type=_share, default=1.0, help="share of the data, 0 to 1")
    train.add_argument(
        "--no-imagenet",
        action="store_true",
        help="go without ImageNet's weights where they would be taken",
    )
    train.add_argument(
        "--no-export",
        action="store_true",
        help="only train; the export command makes the model, also on another machine",
    )
    train.set_defaults(run_command=_train)

    export = commands.add_parser("export", help="write the model folder of a run")
    export.add_argument("name")
    export.set_defaults(run_command=_export)
    for command in (train, export):
        command.add_argument(
            "--run",
            type=Path,
            help="checkpoints (default runs/NAME); what is computed of voices lies beside it",
        )
        command.add_argument("--stages", type=_positive, help="the first ones; all by default")
        command.add_argument("--called", type=_name, help="name of the model folder (default NAME)")
        command.add_argument(
            "--quick", action="store_true", help="ship without measuring other quantisations"
        )

    evaluate = commands.add_parser("evaluate", help="measure an installed model")
    evaluate.add_argument("name")
    evaluate.add_argument("--split", help="validation, test, ...; all by default")
    evaluate.add_argument("--json", action="store_true", help="as JSON on standard output")
    evaluate.add_argument("--write", action="store_true", help="write evaluation.json and the card")
    evaluate.add_argument(
        "--faces",
        choices=("cropped", "detect"),
        default="cropped",
        help="whether images in class-named folders are faces already (default) or pictures",
    )
    evaluate.set_defaults(run_command=_evaluate, parser=evaluate)

    fusion = commands.add_parser("fusion", help="fit and judge the fusion rule")
    fusion.set_defaults(run_command=_fusion)

    framing = commands.add_parser("framing", help="measure FER2013's own framing")
    framing.add_argument("--limit", type=_positive, default=3000, help="how many faces")
    framing.set_defaults(run_command=_framing)

    report = commands.add_parser(
        "report", help="measure robustness and fairness, write models/REPORT.md"
    )
    report.add_argument("names", nargs="*", metavar="NAME", help="models to measure; all")
    report.add_argument(
        "--faces",
        type=_positive,
        help="of face models, how many test faces to make worse; all, which takes large networks "
        "hours",
    )
    report.set_defaults(run_command=_report)

    attack = commands.add_parser(
        "adversarial", help="attack a face model, write its adversarial.json"
    )
    attack.add_argument("name")
    attack.add_argument(
        "--run", type=Path, help="take gradients from this run's weights, not from the file's twin"
    )
    attack.add_argument("--faces", type=_positive, default=1000, help="how many test faces")
    attack.set_defaults(run_command=_adversarial)

    curve = commands.add_parser(
        "learning-curve",
        help="short runs on shares of the data, write learning_curve.json; resumes",
    )
    curve.add_argument("name")
    curve.add_argument("--fractions", type=_share, nargs="+", help="0 to 1; 0.05 to 1 by default")
    curve.add_argument("--epochs", type=_positive, help="on all data")
    curve.add_argument("--run", type=Path, help="checkpoints (default runs/learning-curve-NAME)")
    curve.set_defaults(run_command=_learning_curve)

    tried = commands.add_parser(
        "levers",
        help="short runs that differ in one idea each, write what it is worth to levers.json; "
        "resumes",
    )
    tried.add_argument("name")
    tried.add_argument("--only", nargs="+", default=[], metavar="IDEA", help="all by default")
    tried.add_argument("--epochs", type=_positive, help="of the first run, instead of its own")
    tried.add_argument("--fraction", type=_share, default=1.0, help="share of the data, 0 to 1")
    tried.add_argument("--run", type=Path, help="checkpoints (default runs/levers-NAME)")
    tried.set_defaults(run_command=_levers)

    leak = commands.add_parser(
        "random-split",
        help="train voice-cnn1d on a random split of augmented copies, as notebooks do; write "
        "what that would claim to its random_split.json",
    )
    leak.add_argument("--epochs", type=_positive, help="instead of its own")
    leak.add_argument("--fraction", type=_share, default=1.0, help="share of the data, 0 to 1")
    leak.add_argument("--run", type=Path, default=Path("runs") / "random-split", help="checkpoints")
    leak.set_defaults(run_command=_random_split)

    fold = commands.add_parser(
        "folds",
        help="train voice-cnn's recipe on the five subject-wise folds of RAVDESS, write its "
        "folds.json; resumes",
    )
    fold.add_argument(
        "--epochs",
        type=_positive,
        nargs=3,
        metavar=("OTHERS", "FOLD", "AGAIN"),
        help="of every network on the other corpora, on each fold, and in its second round, which "
        "the network that all others teach has none of",
    )
    fold.add_argument(
        "--networks",
        nargs="+",
        default=[],
        metavar="NAME",
        help="those that answer, by default those that ship; others are trained where they teach",
    )
    fold.add_argument("--fraction", type=_share, default=1.0, help="share of the data, 0 to 1")
    fold.add_argument("--run", type=Path, default=Path("runs") / "folds", help="checkpoints")
    fold.set_defaults(run_command=_folds)

    chart = commands.add_parser("map", help="lay out the test set as a model sees it")
    chart.add_argument("name")
    chart.set_defaults(run_command=_map)

    fast = commands.add_parser(
        "descriptor-speed", help="time voice-cnn1d's descriptors beside librosa's, clip by clip"
    )
    fast.set_defaults(run_command=_descriptor_speed)

    fetch = commands.add_parser("fetch", help="download a data set from Kaggle and check it")
    fetch.add_argument("name")
    fetch.set_defaults(run_command=_fetch)

    prepare = commands.add_parser("prepare", help="write one tidy index of all data sets")
    prepare.add_argument("--out", type=Path, help="Parquet file (default runs/index.parquet)")
    prepare.set_defaults(run_command=_prepare)

    summarise = commands.add_parser("summarise", help="write what the data pages show")
    summarise.add_argument("--out", type=Path, help="folder (default core/summary)")
    summarise.set_defaults(run_command=_summarise)

    for command in (
        train,
        export,
        evaluate,
        fusion,
        report,
        attack,
        curve,
        tried,
        leak,
        fold,
        chart,
    ):
        command.add_argument(
            "--models",
            type=Path,
            default=None,
            help="folder of model folders (default models/); models that teach, or that training "
            "goes on from, are always those in models/",
        )
    named = (
        train,
        export,
        evaluate,
        fusion,
        report,
        attack,
        curve,
        framing,
        chart,
        tried,
        leak,
        fold,
    )
    for command in (*named, fast, fetch, prepare, summarise):
        command.add_argument(
            "--data", type=Path, required=True, help="folder that holds the data sets, or one set"
        )
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 1, not {text!r}")
    return share


def _name(text: str) -> str:
    if not text or Path(text).name != text or text.startswith("."):
        raise argparse.ArgumentTypeError(f"must be the name of a folder, not {text!r}")
    return text


def _known(name: str) -> str:
    from training.files import DataSetError
    from training.recipes import RECIPES

    if name not in RECIPES:
        raise DataSetError(f"There is no recipe for {name!r}; there are {', '.join(RECIPES)}.")
    return name


def _models(parsed: argparse.Namespace) -> Path:
    from core.models import MODELS_FOLDER

    return parsed.models or MODELS_FOLDER


def _installed(parsed: argparse.Namespace, name: str) -> ModelInfo:
    """The model of that name in the folder that was asked for.

    Raises
    ------
    DataSetError
        When there is none. DuetError when it is damaged.
    """
    from core.models import read_info
    from training.files import DataSetError

    models = _models(parsed)
    if not (models / name).is_dir():
        there = sorted(path.parent.name for path in models.glob("*/model.json"))
        known = f"there are {', '.join(there)}" if there else "there is none"
        raise DataSetError(f"There is no model {name!r} in {models}; {known}.")
    return read_info(models / name)


def _train(parsed: argparse.Namespace) -> None:
    from core.datasets import present
    from core.index import FACE_SETS, VOICE_SETS
    from training.architectures import ARCHITECTURES
    from training.provenance import note_making, unless_refused
    from training.recipes import RECIPES

    recipe = RECIPES[_known(parsed.name)]
    if not parsed.no_export:
        _check_exportable()
    run = parsed.run or Path("runs") / parsed.name
    build = ARCHITECTURES[parsed.name]
    asked = _asked_of(recipe, parsed)
    sets = VOICE_SETS if recipe.task == "voice" else FACE_SETS
    there = [name for name in present(parsed.data) if name in sets]
    with unless_refused(run):
        note_making(run, _said(parsed), there)
        recipe.train(build, parsed.data, run, parsed.epochs, parsed.fraction, **asked)
    if not parsed.no_export:
        _export(parsed)


def _asked_of(recipe: Recipe, parsed: argparse.Namespace) -> dict[str, Any]:
    """What was asked for of what not every recipe has."""
    from training.files import DataSetError

    _check_stages(recipe, parsed)
    asked: dict[str, Any] = {"stages": parsed.stages} if parsed.stages else {}
    if parsed.no_imagenet:
        if not recipe.imagenet:
            raise DataSetError(f"{parsed.name} starts from random weights anyway.")
        asked["imagenet"] = False
    return asked


def _check_stages(recipe: Recipe, parsed: argparse.Namespace) -> None:
    from training.files import DataSetError

    count = len(recipe.plan) + bool(recipe.forerunner)
    if (parsed.stages or 0) > count:
        raise DataSetError(f"{parsed.name} has {count or 'no'} stages to choose from.")


def _check_exportable() -> None:
    """Said before hours of training, not after them."""
    import keras

    from training.files import DataSetError

    if keras.backend.backend() != "tensorflow":
        raise DataSetError(
            f"Keras calculates with {keras.backend.backend()} here, but model files are written by "
            "TensorFlow: train with --no-export, and export with KERAS_BACKEND=tensorflow."
        )


def _export(parsed: argparse.Namespace) -> None:
    from training.evaluate import headline
    from training.recipes import RECIPES
    from training.ship import ship

    _check_exportable()
    _check_stages(RECIPES[_known(parsed.name)], parsed)
    run = parsed.run or Path("runs") / _known(parsed.name)
    folder = ship(
        parsed.name,
        parsed.data,
        run,
        _models(parsed),
        called=parsed.called,
        quick=parsed.quick,
        stages=parsed.stages,
    )
    from core.models import read_info

    info = read_info(folder)
    print(headline(info, info.evaluation))


def _said(parsed: argparse.Namespace) -> str:
    """The command that trains and ships such a model, but for where things lie."""
    words = [f"python -m training train {parsed.name} --data PATH"]
    if parsed.called:
        words.append(f"--called {parsed.called}")
    if parsed.epochs:
        words.append(f"--epochs {parsed.epochs}")
    if parsed.fraction < 1:
        words.append(f"--fraction {parsed.fraction:g}")
    if parsed.stages:
        words.append(f"--stages {parsed.stages}")
    if parsed.no_imagenet:
        words.append("--no-imagenet")
    if parsed.quick:
        words.append("--quick")
    return " ".join(words)


def _asked(command: str, parsed: argparse.Namespace, *options: str) -> str:
    """The command with those of `options` that were given, and its share of the data."""
    words = [f"python -m training {command} --data PATH"]
    for option in options:
        if given := getattr(parsed, option):
            words += [
                f"--{option}",
                *(map(str, given) if isinstance(given, list) else [str(given)]),
            ]
    if parsed.fraction < 1:
        words.append(f"--fraction {parsed.fraction:g}")
    return " ".join(words)


def _evaluate(parsed: argparse.Namespace) -> None:
    from core.models import Model
    from training.evaluate import evaluate, headline

    info = _installed(parsed, parsed.name)
    if parsed.write:
        from training.ship import write_evaluation

        if parsed.split or parsed.faces != "cropped":
            parsed.parser.error("--write measures everything; it goes with no --split or --faces")
        report = write_evaluation(info.folder, parsed.data)
    else:
        report = evaluate(Model(info), parsed.data, parsed.split, parsed.faces)
    print(json.dumps(report, indent=1) if parsed.json else headline(info, report))


def _fusion(parsed: argparse.Namespace) -> None:
    from core.models import Model, find
    from training import fusion

    models = _models(parsed)
    face, voice = (Model(find(task, None, models)) for task in ("face", "voice"))
    report = fusion.compare(face, voice, parsed.data)
    fusion.write(report, models)
    print(json.dumps(report, indent=1))


def _report(parsed: argparse.Namespace) -> None:
    from core.errors import DuetError
    from core.models import installed
    from training.files import DataSetError
    from training.report import measure, write_report

    models = _models(parsed)
    names = parsed.names or [info.name for info in installed(models)[0]]
    if not names:
        raise DataSetError(f"There is no model in {models}.")
    for name in names:
        try:
            measure(_installed(parsed, name), parsed.data, parsed.faces)
        except (DataSetError, DuetError) as error:
            if parsed.names:
                raise
            print(f"{name} is not judged anew: {error}", flush=True)
    print(write_report(models))


def _adversarial(parsed: argparse.Namespace) -> None:
    from training.adversarial import headline, write_adversarial

    info = _installed(parsed, parsed.name)
    print(headline(info, write_adversarial(info, parsed.data, parsed.run, parsed.faces)))


def _learning_curve(parsed: argparse.Namespace) -> None:
    from training.files import write_json
    from training.learning_curve import FRACTIONS, learning_curve

    _check_exportable()  # the points of some models are files
    info = _installed(parsed, _known(parsed.name))
    run = parsed.run or Path("runs") / f"learning-curve-{parsed.name}"
    fractions = parsed.fractions or FRACTIONS
    report = learning_curve(parsed.name, parsed.data, run, fractions, parsed.epochs)
    write_json(info.folder / "learning_curve.json", report)
    print(json.dumps(report, indent=1))


def _levers(parsed: argparse.Namespace) -> None:
    from training.files import write_json
    from training.levers import levers, with_earlier

    info = _installed(parsed, _known(parsed.name))
    run = parsed.run or Path("runs") / f"levers-{parsed.name}"
    file = info.folder / "levers.json"
    report = levers(info.name, parsed.data, run, parsed.only, parsed.epochs, parsed.fraction)
    # Read now and not hours before: others may have written to it meanwhile.
    earlier = json.loads(file.read_text()) if file.exists() else {}
    write_json(file, with_earlier(earlier, report))
    print(json.dumps(report, indent=1))


def _random_split(parsed: argparse.Namespace) -> None:
    from training.architectures import ARCHITECTURES
    from training.files import write_json
    from training.voice1d import random_split

    info = _installed(parsed, "voice-cnn1d")
    build = ARCHITECTURES[info.name]
    report = random_split(build, parsed.data, parsed.run, parsed.epochs, parsed.fraction)
    report["command"] = _asked("random-split", parsed, "epochs")
    write_json(info.folder / "random_split.json", report)
    print(json.dumps(report, indent=1))


def _folds(parsed: argparse.Namespace) -> None:
    from training.architectures import ARCHITECTURES
    from training.files import write_json
    from training.folds import folds

    info = _installed(parsed, "voice-cnn")
    epochs = tuple(parsed.epochs) if parsed.epochs else None
    build = ARCHITECTURES[info.name]
    report = folds(build, parsed.data, parsed.run, epochs, parsed.networks, parsed.fraction)
    command = _asked("folds", parsed, "epochs", "networks")
    file = info.folder / "folds.json"
    found = {**report, "command": command}
    if file.exists() and (note := json.loads(file.read_text()).get("note")):
        found["note"] = note  # by whoever decided something by an earlier run
    write_json(file, found)
    print(json.dumps(report, indent=1))


def _framing(parsed: argparse.Namespace) -> None:
    from training.framing import main as measure

    print(json.dumps(measure(parsed.data, parsed.limit), indent=1))


def _map(parsed: argparse.Namespace) -> None:
    from training.map import lay_out

    print(lay_out(_installed(parsed, parsed.name), parsed.data))


def _descriptor_speed(parsed: argparse.Namespace) -> None:
    from training.descriptor_speed import descriptor_speed

    print(json.dumps(descriptor_speed(parsed.data), indent=1))


def _fetch(parsed: argparse.Namespace) -> None:
    from training.fetch import fetch

    print(fetch(parsed.name, parsed.data))


def _prepare(parsed: argparse.Namespace) -> None:
    from core import index
    from training.prepare import build

    path = parsed.out or Path("runs") / index.INDEX_NAME
    if path.is_dir():  # said before all clips are measured
        raise IsADirectoryError(errno.EISDIR, "is a folder; name a file in it", str(path))
    frame = build(parsed.data)
    index.write(frame, path)
    counts = frame.groupby(["dataset", "split"], observed=True).size().unstack(fill_value=0)
    print(f"{counts.to_string()}\n{len(frame):,} files in {path}")


def _summarise(parsed: argparse.Namespace) -> None:
    from core.index import SUMMARY_FOLDER
    from training.summarise import summarise

    report = summarise(parsed.data, parsed.out or SUMMARY_FOLDER)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    sys.exit(main())
