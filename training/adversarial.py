"""How a shipped face model stands up to attacks: the one place `adversarial.json` comes from.

Gradients come from the model's twin (`training.twin`) or from the weights of its run, for the file
that ships has none. What is judged is the file, through the functions of `core` that the app
calls, on the attacked pictures rounded to grey levels: on what an attacker could send.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from core.face.classify import classify
from core.face.tensor import FACE_TENSOR
from core.labels import EMOTIONS
from core.models import Model, ModelInfo
from training import checks, fer2013
from training.attacks import ATTACKS, WHITE, Attack, Attacker, as_faces, as_pixels
from training.export import rebuild
from training.files import DataSetError, write_json
from training.loop import one_hot
from training.measures import bootstrap_interval, rounded, unweighted_average_recall
from training.ship import finished_stages
from training.twin import compare, twin

EPSILONS = (1, 2, 4)
"""Grey levels of 255."""
FACES = 1000
"""Test faces that are attacked."""
SEED = 7
BATCH = 128


def adversarial(
    info: ModelInfo, data: Path, run: Path | None = None, faces: int = FACES
) -> dict[str, Any]:
    """What `adversarial.json` holds.

    Parameters
    ----------
    run : folder of the run that made the model, to take gradients from instead of a twin.
    faces : how many test faces to attack, drawn at random.

    Returns
    -------
    `correlation` of the logits of file and network; `clean` and, for each of `attacks` at each of
    its `epsilons`: `accuracy`, `accuracy_95` and `unweighted_average_recall` of the file, and
    `unrounded`, the accuracy of the network that the gradients come from, on pictures that were
    not rounded.

    Raises
    ------
    DataSetError
        When the model is no grey face network, twin and file do not agree, or fewer than two
        emotions are among the faces.
    """
    if info.task != "face" or info.card.get("input", {}).get("preprocessing") != FACE_TENSOR:
        raise DataSetError(f"{info.name} is no grey face network; only these can be attacked here.")
    splits = fer2013.load(data)
    test = splits["test"]
    checks.told(test.labels, test.left_out, "FER2013's test")
    chosen = fer2013.drawn(test, faces, SEED)
    checks.missing_emotions(chosen.labels, "What was drawn of FER2013's test")
    network, source = _network(info, run)
    model = Model(info)
    correlation = compare(network, model, splits["validation"])
    attacker = Attacker(lambda x: network(x, training=False)["logits"])
    return {
        "split": "test",
        "model_sha256": info.sha256,
        "n": len(chosen),
        "drawn_from": len(test),
        **checks.noted(test.left_out),
        "seed": SEED,
        "gradients": source,
        "correlation": round(correlation, 4),
        "clean": _measured(chosen.labels, _answers(model, chosen.images)),
        "attacks": {
            name: {
                "setting": _setting(attack),
                "epsilons": [_attacked(attacker, model, chosen, attack, e) for e in EPSILONS],
            }
            for name, attack in ATTACKS.items()
        },
        "note": "The attacker knows the weights and the true emotion. Epsilon: by how many grey "
        "levels of 255 each pixel may change. Pictures are rounded to grey levels before the file "
        "that ships answers, so that a change of less than half a level is lost. Gradients come "
        "from a float32 copy of the network; attacks of more steps and starts would leave fewer "
        "right.",
        "command": _command(info, run, faces),
        "date": datetime.now(UTC).date().isoformat(),
    }


def write_adversarial(
    info: ModelInfo, data: Path, run: Path | None = None, faces: int = FACES
) -> dict[str, Any]:
    """Measure and write `adversarial.json` of a model; return what was written."""
    report = adversarial(info, data, run, faces)
    write_json(info.folder / "adversarial.json", report)
    return report


def headline(info: ModelInfo, report: dict[str, Any]) -> str:
    """Accuracy as it is and under each attack, in aligned lines."""
    clean = report["clean"]["accuracy"]
    lines = [f"{info.name} on {report['n']:,} test faces: {clean:.1%} as they are", ""]
    lines.append("epsilon " + "".join(f"{e:>8}" for e in EPSILONS))
    for name, found in report["attacks"].items():
        lines.append(f"{name:8}" + "".join(f"{e['accuracy']:8.1%}" for e in found["epsilons"]))
    return "\n".join(lines)


def _command(info: ModelInfo, run: Path | None, faces: int) -> str:
    words = [f"python -m training adversarial {info.name} --data PATH"]
    if run is not None:
        words.append("--run RUN")
    if faces != FACES:
        words.append(f"--faces {faces}")
    return " ".join(words)


def _setting(attack: Attack) -> str:
    start = "from a random start" if attack.random_start else "from the picture itself"
    if attack.steps == 1:
        return f"one step of {attack.step:g} epsilon {start}"
    return f"{attack.steps} steps of {attack.step:g} epsilon {start}"


def _network(info: ModelInfo, run: Path | None) -> tuple[keras.Model, str]:
    """The network to take gradients from, and what it is."""
    if run is None:
        return twin(info), "float32 twin rebuilt from the file that ships"
    if info.card.get("beside"):
        raise DataSetError(f"{info.name} is made of two networks: attack its file, without --run.")
    weights = finished_stages(run)[-1] / "best.weights.h5"
    network = rebuild(str(info.card.get("recipe", info.name)), weights)
    return network, "float32 weights of the run that made the file"


def _answers(model: Model, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.asarray(classify(images, model)[0].argmax(axis=1), np.int64)


def _measured(labels: NDArray[np.int64], answers: NDArray[np.int64]) -> dict[str, Any]:
    return {
        "accuracy": rounded(np.mean(answers == labels)),
        "accuracy_95": [rounded(v) for v in bootstrap_interval(labels, answers)],
        "unweighted_average_recall": rounded(unweighted_average_recall(labels, answers)),
    }


def _attacked(
    attacker: Attacker, model: Model, faces: fer2013.Faces, attack: Attack, epsilon: int
) -> dict[str, Any]:
    """What is left under one attack at one epsilon."""
    rng = np.random.default_rng([SEED, epsilon])
    targets = one_hot(faces.labels, len(EMOTIONS))
    answers, unrounded = [], []
    for start in range(0, len(faces), BATCH):
        rows = slice(start, start + BATCH)
        pixels = attacker.attacked(
            as_pixels(faces.images[rows]), targets[rows], epsilon / WHITE, attack, rng
        )
        answers.append(_answers(model, as_faces(pixels)))
        unrounded.append(keras.ops.convert_to_numpy(attacker.logits(pixels)).argmax(axis=1))
    found = {
        "epsilon": epsilon,
        **_measured(faces.labels, np.concatenate(answers)),
        "unrounded": rounded(np.mean(np.concatenate(unrounded) == faces.labels)),
    }
    print(f"{_setting(attack)}, epsilon {epsilon}: {found['accuracy']:.1%}", flush=True)
    return found
