"""From a finished run to `models/<name>`: convert, calibrate, evaluate, describe."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.datasets import CORPORA, DATA_SETS
from core.models import MODELS_FOLDER, Model, ModelInfo, find, read_info
from core.predictions import write_predictions
from core.words import listed
from training import fer2013
from training.architectures import parameters, together
from training.card import write_card
from training.evaluate import (
    Answers,
    answers_by_split,
    corpus_or_emotion,
    face_answers,
    fit_temperature,
    judged,
    predictions,
    voice_answers,
)
from training.export import (
    rebuild,
    to_litert,
    write_folder,
)
from training.face import FORERUNNER, GROWN
from training.files import DataSetError, write_json
from training.filling import FOLDER
from training.loop import finished
from training.measures import rounded
from training.provenance import made_with
from training.recipes import RECIPES, VOICE_LICENCES, Recipe
from training.twin import read_out

MOST_LOSS = 0.003
"""Of the validation score: what a quantisation may cost."""


def validation_answers(model: Model, data: Path) -> Answers:
    measure = face_answers if model.info.task == "face" else voice_answers
    return measure(model, data, "validation")


def ship(
    name: str,
    data: Path,
    run: Path,
    models: Path = MODELS_FOLDER,
    called: str | None = None,
    quick: bool = False,
    stages: int | None = None,
) -> Path:
    """Write the model folder of a run; return it.

    Parameters
    ----------
    called : name of the folder and the model, if not the recipe's own; never a default model then.
    quick : ship the last of the recipe's quantisations, without measuring what others would cost.
    stages : how many of the run's stages count, the first ones; all by default.

    The first of the recipe's quantisations that is small enough and costs at most `MOST_LOSS` on
    validation data is shipped; if none does, the one that costs least of those small enough. All
    measurements go into `model.json`.
    """
    recipe = RECIPES[name]
    done = {
        one: finished_stages(run / one, stages or recipe.rounds.get(one))
        for one in (*recipe.members, *recipe.teachers)
    }
    trained = {member: done[member] for member in recipe.members}
    taught_by = {teacher: done[teacher] for teacher in recipe.teachers}
    networks = [
        rebuild(name, trained[member][-1] / "best.weights.h5", **arguments)
        for member, arguments in recipe.members.items()
    ]
    if beside := _beside(recipe, trained):
        networks.append(read_out(beside, fer2013.load(data)["validation"]))
    network = together(networks)
    examples = [] if quick else recipe.examples(data)
    before = _forerunner(run, trained)
    teaching = [stage for stages_of in taught_by.values() for stage in stages_of]
    card = _card(name, recipe, parameters(network), trained, before, teaching)
    card |= _made_from(recipe, run)
    if beside:
        card["beside"] = {"network": beside.name, "sha256": beside.sha256}
    card |= {**_without_labels(run, recipe.members), **_taught_by(run, taught_by)}
    if called and called != name:
        card.update(name=called, title=f"{recipe.title} ({called})", default=False)

    def convert(quantisation: str) -> tuple[bytes, Answers]:
        content = to_litert(network, quantisation, iter(examples))
        with tempfile.TemporaryDirectory() as scratch:
            folder = write_folder(card["name"], content, card, [], Path(scratch))
            return content, validation_answers(Model(read_info(folder)), data)

    quantisation, content, answers, measured = quantised(name, recipe, convert, quick)
    card.update(
        temperature=fit_temperature(answers.logits, answers.labels),
        quantisation=quantisation,
        quantisations=measured,
    )
    if before:  # whose epochs are told from those of what grew out of it
        trained = {recipe.forerunner: before, name: trained[""]}
    folder = models / card["name"]
    with tempfile.TemporaryDirectory() as scratch:
        # Judged before it is put in place: what cannot be judged is not left there half made.
        made = write_folder(card["name"], content, card, _history(trained), Path(scratch))
        write_evaluation(made, data)
        folder.mkdir(parents=True, exist_ok=True)
        parts = {folder / f".{file.name}.part": file for file in made.iterdir()}
        try:
            for part, file in parts.items():
                shutil.copyfile(file, part)
            for part, file in parts.items():  # whole files, one right after the other
                part.replace(folder / file.name)
        finally:
            for part in parts:
                part.unlink(missing_ok=True)
    return folder


def _beside(recipe: Recipe, members: dict[str, list[Path]]) -> ModelInfo | None:
    """The installed model that answers along, if one does; it has to be the one that taught."""
    if not recipe.beside:
        return None
    info = find(recipe.task, recipe.beside)
    states = [_state(stage)["recipe"] for stages in members.values() for stage in stages]
    taught = {state.get("teacher_sha256", info.sha256) for state in states}
    if taught != {info.sha256}:
        raise DataSetError(
            f"This run was taught by another file of {info.name} than the one that is installed. "
            "Put that one back, or train anew."
        )
    return info


def _made_from(recipe: Recipe, run: Path) -> dict[str, Any]:
    """What the card says of a run's data, libraries and machine."""
    made = made_with(run)
    there = made.get("data_sets", CORPORA)  # runs of before it was noted had all of them
    corpora = [corpus for corpus in there if corpus in CORPORA]
    licences = [f"{DATA_SETS[corpus]} {VOICE_LICENCES[corpus]}" for corpus in corpora]
    return {
        "data": recipe.data.format(corpora=listed([DATA_SETS[corpus] for corpus in corpora])),
        **made,
        "licence_of_data": recipe.data_licence.format(licences="; ".join(licences)),
    }


def quantised(
    name: str,
    recipe: Recipe,
    convert: Callable[[str], tuple[bytes, Answers]],
    quick: bool = False,
) -> tuple[str, bytes, Answers, dict[str, Any]]:
    """The quantisation to ship, its file and answers, and what was measured of all that were tried.

    Parameters
    ----------
    convert : quantisation -> the network's file and its answers on validation data.
    quick : take the last of the recipe's quantisations, whatever its size.

    Raises
    ------
    DataSetError
        When no quantisation makes the network small enough.
    """
    measured: dict[str, Any] = {}
    tried: list[tuple[float, str, bytes, Answers]] = []
    for quantisation in recipe.quantisations[-1:] if quick else ("float32", *recipe.quantisations):
        content, answers = convert(quantisation)
        score = recipe.score(answers.labels, answers.logits.argmax(axis=1))
        measured[quantisation] = {"validation_score": rounded(score), "bytes": len(content)}
        print(f"{quantisation}: validation {score:.2%}, {len(content):,} bytes", flush=True)
        if quantisation == "float32":
            continue
        # What is only tried, or kept as one's own, may be larger than what everybody gets.
        if quick or len(content) <= recipe.largest_bytes:
            tried.append((score, quantisation, content, answers))
            if quick or measured["float32"]["validation_score"] - score <= MOST_LOSS:
                break
    if not tried:
        raise DataSetError(f"No quantisation of {name} fits into {recipe.largest_bytes:,} bytes.")
    _, quantisation, content, answers = max(tried, key=lambda one: one[0])
    return quantisation, content, answers, measured


def write_evaluation(folder: Path, data: Path) -> dict[str, Any]:
    """Measure the model in `folder` on `data`.

    Writes `evaluation.json`, from the same answers `predictions.npz`, and the card.
    """
    info = read_info(folder)
    model = Model(info)
    answers = answers_by_split(model, data)
    measured = judged(info, answers)
    if not {"validation", "test"} <= set(measured["splits"]):
        raise DataSetError(f"{data} does not hold the data sets that {info.name} is judged on.")
    if info.task == "voice":
        measured["corpus_or_emotion"] = corpus_or_emotion(model, data)
    report = {
        **measured,
        "command": f"python -m training evaluate {info.name} --data PATH --write",
        "date": datetime.now(UTC).date().isoformat(),
    }
    write_json(folder / "evaluation.json", report)
    kept = {split: predictions(info, answers[split]) for split in ("validation", "test")}
    write_predictions(folder, kept)
    write_card(folder)
    return report


def finished_stages(run: Path, most: int | None = None) -> list[Path]:
    """Folders of the stages of a run, in order; the first `most` of them.

    Raises
    ------
    DataSetError
        When there is none, or one of them was broken off.
    """
    stages = sorted(path.parent for path in run.glob("stage*/state.json"))[:most]
    if not stages:
        raise DataSetError(f"{run} holds no trained weights; train first.")
    if most and len(stages) < most:
        raise DataSetError(f"{run} holds {len(stages)} of these {most} stages; train them first.")
    for stage in stages:
        state = _state(stage)
        if not finished(state["recipe"]["schedule"], state["history"]):
            raise DataSetError(f"{stage} was broken off; the train command goes on with it.")
    return stages


def _forerunner(run: Path, members: dict[str, list[Path]]) -> list[Path]:
    """Stages of the smaller network that the run's network grew out of, if it did."""
    began = _state(next(iter(members.values()))[0])["recipe"].get("initial_weights", "")
    return finished_stages(run / FORERUNNER) if GROWN in began else []


def _state(stage: Path) -> dict[str, Any]:
    return json.loads((stage / "state.json").read_text())


def _history(members: dict[str, list[Path]]) -> list[dict[str, Any]]:
    """The epochs of all stages of all networks, numbered through."""
    rows: list[dict[str, Any]] = []
    number = 0
    for member, stages in members.items():
        for stage in stages:
            number += 1
            for row in _state(stage)["history"]:
                network = {"network": member} if member else {}
                rows.append({**row, "epoch": len(rows) + 1, "stage": number, **network})
    return rows


def _input(recipe: Recipe, state: dict[str, Any]) -> dict[str, Any]:
    """The recipe's, at the size of the faces of the last stage."""
    size = state["recipe"].get("stage", {}).get("size")
    shape = [size if side == "size" else side for side in recipe.input["shape"]]
    return {**recipe.input, "shape": shape}


def _how_far(recipe: Recipe, members: dict[str, list[Path]]) -> dict[str, Any]:
    """Which weights a run began with and which of the planned stages it left out, if any."""
    stages = next(iter(members.values()))
    began = _state(stages[0])["recipe"].get("initial_weights", "")
    planned = len(stages) - (GROWN in began)  # its first stage comes before those planned
    facts = {"initial_weights": began, "stages_left_out": list(recipe.plan[planned:])}
    return {name: value for name, value in facts.items() if value}


def _grown_from(recipe: Recipe, states: list[dict[str, Any]]) -> dict[str, Any]:
    """What the smaller network went through that a network grew out of, if it did."""
    if not states:
        return {}
    return {
        "forerunner": {
            "network": recipe.forerunner,
            **_went_through(states),
        }
    }


def _went_through(states: list[dict[str, Any]]) -> dict[str, Any]:
    """What the card says of a network that does not ship itself, by its stages."""
    return {
        "epochs": sum(state["epoch"] for state in states),
        "validation_score": rounded(states[-1]["best"]),
        "wall_time_hours": _hours(states),
        "stages": [state["recipe"] for state in states],
    }


def _taught_by(run: Path, teachers: dict[str, list[Path]]) -> dict[str, Any]:
    """What the networks went through that only taught those that ship, if there were any."""
    found = []
    for name, folders in teachers.items():
        states = [_state(folder) for folder in folders]
        found.append(
            {
                "network": name,
                **_without_labels(run, [name]),
                **_went_through(states),
                "git_commit": states[-1]["git_commit"],
            }
        )
    return {"teachers": found} if found else {}


def _without_labels(run: Path, networks: Iterable[str]) -> dict[str, Any]:
    """How long each network of a run learnt without labels, and how well, if it did."""
    folders = {member: run / member / FOLDER for member in networks}
    states = {
        m: _state(folder) for m, folder in folders.items() if (folder / "state.json").exists()
    }
    found = [
        {
            "network": member,
            "epochs": state["epoch"],
            "explained": rounded(state["best"]),
            "seconds": round(state["seconds"]),
        }
        for member, state in states.items()
    ]
    return {"filling": found} if found else {}


def _hours(states: list[dict[str, Any]]) -> float:
    return round(sum(state["seconds"] for state in states) / 3600, 2)


def _card(
    name: str,
    recipe: Recipe,
    parameters: int,
    members: dict[str, list[Path]],
    before: list[Path],
    teaching: list[Path],
) -> dict[str, Any]:
    """What `model.json` says of a run.

    Parameters
    ----------
    members : stages of each network that ships, by its folder. before : those of the network that
        it grew out of. teaching : those of networks that only taught.
    """
    states = [_state(stage) for stages in members.values() for stage in stages]
    earlier = [_state(stage) for stage in before]
    return {
        "name": name,
        "task": recipe.task,
        "title": recipe.title,
        "architecture": recipe.architecture,
        "parameters": parameters,
        "input": _input(recipe, states[-1]),
        "outputs": "logits and the evidence they are made of",
        "temperature": 1.0,
        "default": recipe.default,
        "recipe": name,
        **_how_far(recipe, members),
        **_grown_from(recipe, earlier),
        "held_apart": recipe.held_apart,
        "stages": [
            {**_state(stage)["recipe"], **({"network": member} if member else {})}
            for member, stages in members.items()
            for stage in stages
        ],
        "epochs": sum(state["epoch"] for state in states),
        "seed": states[0]["recipe"]["schedule"]["seed"],
        "git_commit": states[-1]["git_commit"],
        "wall_time_hours": _hours(earlier + states + [_state(stage) for stage in teaching]),
        "limits": recipe.limits,
        "licence_of_weights": "CC BY-NC-SA 4.0 (research; the data allow no commercial use)",
    }
