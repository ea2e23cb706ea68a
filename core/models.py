"""The models that are installed: folders below `models/`, checked and run with LiteRT."""

from __future__ import annotations

import hashlib
import json
import math
import threading
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core import places
from core.errors import DuetError
from core.labels import EMOTIONS

MODELS_FOLDER = Path(__file__).resolve().parent.parent / "models"

Task = Literal["face", "voice"]


@dataclass(frozen=True)
class ModelInfo:
    """What `model.json` says of one model."""

    name: str
    task: Task
    title: str
    architecture: str
    parameters: int
    default: bool
    temperature: float
    """Logits are divided by it before softmax, so that probabilities are calibrated."""
    sha256: str
    bytes: int
    folder: Path
    card: dict[str, Any]
    """All of `model.json`; shared by all who ask, and not to be altered."""

    @property
    def own(self) -> bool:
        """Whether it was trained from the app by whoever uses it."""
        return self.folder.parent == places.own_models()

    @cached_property
    def evaluation(self) -> dict[str, Any]:
        """`evaluation.json`, or an empty dict when the model comes without one."""
        try:
            text = (self.folder / "evaluation.json").read_text()
            found = json.loads(text, parse_float=_finite, parse_constant=_finite)
        except (OSError, ValueError, RecursionError):
            return {}
        usable = isinstance(found, dict) and isinstance(found.get("splits"), dict)
        return found if usable else {}


LEAST_TEMPERATURE = 0.01
"""Of calibration; the largest is its inverse. Answers so tempered say nothing any more."""


def _yes_or_no(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} where true or false is meant")
    return value


def _finite(number: str) -> float:
    """A number of a JSON file; a ValueError for NaN, Infinity and 1e999, which are none."""
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number} is no finite number")
    return value


@dataclass(frozen=True)
class BrokenModel:
    """A folder below `models/` that cannot be offered, and the sentence that says why."""

    folder: Path
    problem: str


def read_info(folder: Path) -> ModelInfo:
    """Read and check `folder/model.json` (not the weights).

    Raises
    ------
    DuetError
        `damaged_model`, naming the file and the fault.
    """
    try:
        content = (folder / "model.json").read_bytes()
    except OSError:
        raise _broken(folder, "is missing") from None
    info = replace(_stated(folder, content))
    if not (folder / "model.tflite").is_file():
        raise _broken(folder, "is missing", "model.tflite")
    return info


def _broken(folder: Path, why: str, file: str = "model.json") -> DuetError:
    return DuetError("damaged_model", f"{folder / file} {why}; restore the folder or remove it.")


@lru_cache(maxsize=64)
def _stated(folder: Path, content: bytes) -> ModelInfo:
    """What a `model.json` says; every answer asks for it, so what is known is not parsed anew."""
    try:
        card = json.loads(content.decode())
    except (ValueError, RecursionError):
        raise _broken(folder, "is not valid JSON") from None
    try:
        info = ModelInfo(
            name=str(card["name"]),
            task=card["task"],
            title=str(card["title"]),
            architecture=str(card["architecture"]),
            parameters=int(card["parameters"]),
            default=_yes_or_no(card["default"]),
            temperature=float(card["temperature"]),
            sha256=str(card["sha256"]),
            bytes=int(card["bytes"]),
            folder=folder,
            card=card,
        )
        labels = tuple(card["labels"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _broken(folder, f"lacks or misstates {error}") from None
    if info.task not in ("face", "voice"):
        raise _broken(folder, f"names an unknown task {info.task!r}")
    if labels != EMOTIONS:
        raise _broken(folder, "does not list Duet's seven labels in their order")
    if not LEAST_TEMPERATURE <= info.temperature <= 1 / LEAST_TEMPERATURE:
        raise _broken(folder, f"states a temperature of {info.temperature:g}, which is none")
    if info.name != folder.name:
        raise _broken(folder, f"names the model {info.name!r}, unlike its folder")
    return info


def installed(folder: Path | None = None) -> tuple[list[ModelInfo], list[BrokenModel]]:
    """Usable and broken model folders below `folder`; defaults first, own ones last, by name.

    Without `folder`, those that ship and those that were trained from the app.
    """
    models: list[ModelInfo] = []
    broken: list[BrokenModel] = []
    for root in [folder] if folder else [MODELS_FOLDER, places.own_models()]:
        for candidate in _folders(root) if root else []:
            try:
                info = read_info(candidate)
            except DuetError as error:
                broken.append(BrokenModel(candidate, error.message))
                continue
            if any(info.name == other.name for other in models):
                broken.append(BrokenModel(candidate, _taken(info)))
            else:
                models.append(info)
    models.sort(key=lambda m: not m.default)  # they are in the order of roots and names already
    return models, broken


def _folders(root: Path) -> list[Path]:
    """Those in `root` that may be models; none where it cannot be looked into."""
    try:
        return sorted(f for f in root.iterdir() if f.is_dir() and not f.name.startswith((".", "_")))
    except OSError:
        return []


def _taken(info: ModelInfo) -> str:
    return (
        f"{info.folder} has the name of another model; rename the folder and the name in its "
        "model.json."
    )


def find(task: Task, name: str | None = None, folder: Path | None = None) -> ModelInfo:
    """The model called `name`, or the default one for `task`.

    Raises
    ------
    DuetError
        `unknown_model` when there is none; `damaged_model` when there is no default one and a
        folder is broken, for another model is not to answer in its place without a word.
    """
    models, broken = installed(folder)
    candidates = [m for m in models if m.task == task]
    if name is None and candidates:
        if broken and not candidates[0].default:  # it may be the default one that is broken
            raise DuetError("damaged_model", broken[0].problem)
        return candidates[0]
    for model in candidates:
        if model.name == name:
            return model
    known = ", ".join(m.name for m in candidates) or "none is installed"
    wanted = f"called {name!r} " if name is not None else ""
    raise DuetError("unknown_model", f"There is no {task} model {wanted}here (known: {known}).")


OUTPUTS: dict[Task, tuple[str, ...]] = {
    "face": ("logits", "evidence"),
    "voice": ("evidence", "scores"),
}
"""What a network of each task has to give; other outputs are left alone."""


class Model:
    """A loaded LiteRT model. Safe to call from several threads: one call runs at a time.

    The contract of every `model.tflite`, whatever its architecture: one signature with one input,
    float32, any n; float32 outputs by the names in `OUTPUTS`. Emotions are in the order of
    `core.labels.EMOTIONS`.

    face
        Input (n, side, side, channels) from the function of `core.face.tensor` that
        `input.preprocessing` names (`face_tensor`, (n, 48, 48, 1), where it names none) and of
        the side that `input.shape` states. `evidence` (n, rows, columns, 7): what each place of
        the face adds; `logits` (n, 7): its mean over places. A network whose answer does not come
        apart into places gives one of them, (n, 1, 1, 7).
    voice
        Input (n, ...) from the function that `input.preprocessing` names
        (`core.voice.features.voice_tensor`, (1, frames, MEL_BANDS, 1), any number of frames, where
        it names none; `core.voice.tensor.whole_steps`, (1, frames, COLUMNS, 1);
        `core.voice.descriptors.descriptor_windows`, (windows, DESCRIPTORS, 1)).
        `evidence` (n, steps, heads, 7): what each step in time adds; `scores` (n, steps, heads):
        their softmax over all steps is the weight of each step. The logits are the evidence so
        weighted, summed over steps and averaged over heads.
    """

    def __init__(self, info: ModelInfo, threads: int = 2) -> None:
        """Check the file's hash and load it.

        Raises
        ------
        DuetError
            `damaged_model` when the file is missing, altered, not a LiteRT model or one that
            lacks what its task needs.
        """
        self.info = info
        path = info.folder / "model.tflite"
        try:
            content = path.read_bytes()
        except OSError:
            raise DuetError("damaged_model", f"{path} cannot be read.") from None
        if hashlib.sha256(content).hexdigest() != info.sha256:
            raise DuetError(
                "damaged_model",
                f"{path} is not the file that {info.name}/model.json describes (its SHA-256 "
                "differs); restore both from the same source.",
            )
        try:
            self._interpreter = interpreter_class()(model_content=content, num_threads=threads)
            self._runner = self._interpreter.get_signature_runner()
        except (ValueError, RuntimeError):
            raise DuetError("damaged_model", f"{path} is not a LiteRT model.") from None
        inputs = list(self._runner.get_input_details())
        missing = set(OUTPUTS[info.task]) - self._runner.get_output_details().keys()
        if len(inputs) != 1 or missing:
            fault = f"lacks the output {min(missing)}" if missing else f"has {len(inputs)} inputs"
            raise DuetError(
                "damaged_model",
                f"{path} is no network for the task {info.task}: it {fault}; restore the folder "
                "or remove it.",
            )
        self._input = inputs[0]
        self._lock = threading.Lock()

    def __call__(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run the network: `batch` (n, ...) float32 -> its outputs by name, copied.

        Raises
        ------
        DuetError
            `damaged_model` when the network takes nothing of that shape.
        """
        with self._lock:
            try:
                outputs = self._runner(**{self._input: np.ascontiguousarray(batch, np.float32)})
            except (ValueError, RuntimeError) as error:
                raise DuetError(
                    "damaged_model",
                    f"{self.info.name} cannot take what its model.json says that it takes "
                    f"({' '.join(str(error).split())[:80]}); restore its folder or remove it.",
                ) from None
            return {name: np.array(value) for name, value in outputs.items()}


def interpreter_class() -> Any:
    """LiteRT's interpreter, from whichever package has it."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:  # a platform without that wheel
        from tensorflow.lite import Interpreter
    return Interpreter


_loaded: dict[tuple[Path, str, int], Model] = {}
_loading = threading.Lock()


def load(info: ModelInfo, threads: int = 2) -> Model:
    """The loaded model of `info`; loaded once per process and number of threads."""
    key = (info.folder, info.sha256, threads)
    with _loading:
        if key not in _loaded:
            _loaded[key] = Model(info, threads)
        return _loaded[key]


def probabilities(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """Softmax of logits / temperature over the last axis, in float64."""
    scaled = np.asarray(logits, np.float64) / temperature
    scaled -= scaled.max(axis=-1, keepdims=True)
    exponentials = np.exp(scaled)
    return exponentials / exponentials.sum(axis=-1, keepdims=True)
