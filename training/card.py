"""The model card: `models/<name>/README.md`, written from the folder's own JSON files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from core.errors import DuetError
from core.labels import EMOTIONS
from core.reports import read_history
from core.words import listed
from training.measures import OVER_SPEAKERS


def write_card(folder: Path) -> None:
    card = json.loads((folder / "model.json").read_text())
    evaluation = json.loads((folder / "evaluation.json").read_text())
    (folder / "README.md").write_text(_text(card, evaluation, _kept(folder, card)))


def _kept(folder: Path, card: dict[str, Any]) -> str:
    """After which epoch the weights were kept that ship; nothing without a log of the training."""
    try:
        history = read_history(folder / "history.csv")
    except DuetError:  # there is none, or it is damaged
        return ""
    forerunner = card.get("forerunner", {}).get("network")
    names = history.network or ("",) * len(history)
    epochs = history.columns["epoch"]
    kept = [(int(epochs[row]), names[row]) for row in history.kept if names[row] != forerunner]
    if not kept:
        return ""
    several = len(kept) > 1
    after = listed([f"{epoch}" + f" ({name})" * several for epoch, name in kept])
    return (
        f"The weights that ship are those after epoch {after} of `history.csv`, which validated "
        f"best in the last stage{' of each network' if several else ''}."
    )


def _text(card: dict[str, Any], evaluation: dict[str, Any], kept: str) -> str:
    parts = [
        f"# {card['name']}: {card['title'].lower()}",
        f"{card['architecture']}. {card['parameters']:,} parameters, "
        f"{card['bytes'] / 1e6:.2f} MB as LiteRT ({card['quantisation']}).",
        "## How good it is",
        f"By `{evaluation['command']}` on {evaluation['date']}, with the file that ships. "
        "UAR is the unweighted average recall, ECE the expected calibration error. Intervals are "
        f"95%, by bootstrap {_drawn(evaluation)}.",
        _splits_table(evaluation["splits"]),
        _lacking(evaluation["splits"]),
        *_details(evaluation),
        "## How it was made",
        f"{card['data']}.",
        _how_far(card),
        _beforehand(card),
        f"`{card.get('command') or _usual_command(card)}`: {_epochs(card['epochs'])}"
        f"{' of what ships' if card.get('teachers') else ''}, "
        + ", then ".join(_stages(card["stages"]))
        + f"; {_seeds(card)}, "
        f"{card['wall_time_hours']:.1f} h{_of_it(card)} on {card['hardware']}; "
        f"commit `{card['git_commit']}`; "
        + ", ".join(f"{k} {v}" for k, v in card["versions"].items())
        + f". Temperature {card['temperature']}, fitted on validation data.",
        kept,
        card.get("note", ""),
        _quantisation(card),
        "## Limits",
        card["limits"] + " It reads expressions, not inner feelings, and must not be used to judge "
        "people at work or in schools, which the law restricts in places (EU AI Act, Article 5).",
        "## Licences",
        f"Weights: {card['licence_of_weights']}. Data: {card['licence_of_data']}.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _epochs(count: int) -> str:
    return f"{count} epoch{'s' * (count != 1)}"


def _drawn(evaluation: dict[str, Any]) -> str:
    """What is drawn anew for the intervals."""
    splits = evaluation["splits"].values()
    return OVER_SPEAKERS if any("speakers_drawn" in m for m in splits) else "over examples"


def _usual_command(card: dict[str, Any]) -> str:
    return f"python -m training train {card['name']} --data PATH"


def _seeds(card: dict[str, Any]) -> str:
    """Of all stages, in their order."""
    seeds = list(dict.fromkeys(str(stage["schedule"]["seed"]) for stage in card["stages"]))
    return f"{'seeds' if len(seeds) > 1 else 'seed'} {listed(seeds)}"


def _of_it(card: dict[str, Any]) -> str:
    """How much of the time a forerunner or teachers took, if there were any."""
    if before := card.get("forerunner"):
        return f", {before['wall_time_hours']:.1f} h of it for {before['network']},"
    if teachers := card.get("teachers"):
        hours = sum(teacher["wall_time_hours"] for teacher in teachers)
        names = listed([f"{teacher['network']}'s" for teacher in teachers])
        return f", {names} {hours:.1f} h among them,"
    return ""


def _how_far(card: dict[str, Any]) -> str:
    """Which weights the network began with, and what was left out of its training."""
    parts = []
    if "initial_weights" in card:
        parts.append(f"It began with {card['initial_weights']}.")
    if before := card.get("forerunner"):
        parts.append(
            f"{before['network']} had begun with {before['stages'][0]['initial_weights']} and had "
            f"{_epochs(before['epochs'])}, "
            + ", then ".join(_stage(stage) for stage in before["stages"])
            + f"; it came to {before['validation_score']:.1%} on validation data. Its channels "
            "were then repeated and blocks that added nothing yet were put in, so that the large "
            "network answered as it did."
        )
    if left_out := card.get("stages_left_out"):
        done = len(card["stages"])
        sizes_done = {f"{stage['stage']['size']} px" for stage in card["stages"]}
        # Where sizes come again, they do not say which stages are missing.
        new = not sizes_done & set(left_out)
        parts.append(
            f"Only the first{f' {done}' * (done > 1)} of its {done + len(left_out)} stages of "
            "training took place"
            + (f", without what was to follow at {listed(left_out)}" if new else "")
            + f"; it is used at {card['input']['shape'][1]} px."
        )
    return " ".join(parts)


def _beforehand(card: dict[str, Any]) -> str:
    """What networks learnt without labels, who taught them and who answers along."""
    parts = []
    teachers = card.get("teachers", [])
    filling = [one for each in (card, *teachers) for one in each.get("filling", [])]
    if filling:
        fared = [
            f"the {one['network']} network in {_epochs(one['epochs'])} "
            f"({one['seconds'] / 60:.0f} min), after which the error of what it filled in was "
            f"{one['explained']:.0%} below that of filling in zeros, on validation clips"
            for one in filling
        ]
        parts.append(
            "Before there were labels, stretches of training clips were blanked and filled in "
            f"(masked spectrogram modelling): {listed(fared)}. These epochs and minutes come "
            "before those below."
        )
    if teachers:
        fared = [
            f"the {one['network']} network, {_epochs(one['epochs'])}, "
            + ", then ".join(_stage(stage) for stage in one["stages"])
            + f"; {_seeds(one)}, commit `{one['git_commit']}`; the recall on validation data by "
            f"which its epoch was chosen came to {one['validation_score']:.1%}"
            for one in teachers
        ]
        parts.append(f"What also taught but does not ship: {'; '.join(fared)}.")
    if beside := card.get("beside"):
        parts.append(
            f"Beside what was trained for it answers {beside['network']} as it shipped then "
            f"(SHA-256 {beside['sha256'][:12]}), with the weights of its file; the logits are the "
            "mean of both. Epochs and hours below are those of the other network."
        )
    stages = [stage for each in (card, *teachers) for stage in each["stages"]]
    parts += [
        f"Where teachers had answered together, {card['recipe']} as it shipped until then (SHA-256 "
        f"{sha256[:12]}) counted as much as these networks together."
        for sha256 in sorted({stage.get("taught_by") for stage in stages} - {None, ""})
    ]
    return " ".join(parts)


def _stages(stages: list[dict[str, Any]]) -> list[str]:
    """Each in words, by network where there were several."""
    several = len({stage.get("network") for stage in stages}) > 1
    return [
        (f"{stage['network']} network: " if several else "") + _stage(stage) for stage in stages
    ]


def _stage(stage: dict[str, Any]) -> str:
    schedule = stage["schedule"]
    averaging = schedule.get("averaging")
    averaged = f", weights averaged by {averaging} a step" if averaging else ""
    radius = schedule.get("sharpness")
    sharp = f", sharpness-aware with radius {radius}" if radius else ""
    decay = schedule["weight_decay"]
    decayed = f", decoupled weight decay {decay}" if decay else ""
    course = "cut on plateaus" if schedule.get("patience") else "cosine"
    most = "at most " if schedule.get("patience") else ""  # a plateau may end it earlier
    examples = stage.get("stage", {})
    size = f" of {examples['size']} px" if "size" in examples else ""
    if share := examples.get("small_share"):
        size += f" ({examples.get('small_size', 32)} px in the first {share:.0%} of the epochs)"
    if share := examples.get("easy"):
        size += f", shorter and plainer in the first {share:.0%} of the epochs"
    if share := examples.get("short"):
        size += f", about {share:.0%} of the batches cut to a random length of 0.8 s or more"
    if examples.get("prosody_change"):
        size += ", pitch and loudness changed at random"
    if share := examples.get("taught"):
        size += f", {share:.0%} of each target being what its teachers had answered together"
    if teacher := examples.get("own_teacher"):
        size += f", half of each target being what it had answered after stage {teacher}"
    if teacher := examples.get("teacher"):
        shipped = f" (SHA-256 {stage['teacher_sha256'][:12]})" if "teacher_sha256" in stage else ""
        size += f", half of each target being what {teacher}{shipped} answers"
    return (
        f"{most}{schedule['epochs']} of {schedule['optimiser']} (batch "
        f"{schedule['batch_size']}, peak "
        f"rate {schedule['learning_rate']}, {course}{decayed}, label smoothing "
        f"{schedule['label_smoothing']}{averaged}{sharp}, {schedule['dtype_policy']}) "
        f"on {stage['examples']:,} examples{size}{_amiss(stage)}"
    )


def _amiss(stage: dict[str, Any]) -> str:
    """What was wrong with the data that a stage learnt from, if anything was."""
    parts = []
    if missing := stage.get("missing"):
        parts.append(f"none of {listed(missing)}")
    if left_out := stage.get("left_out"):
        parts.append(f"{left_out:,} more could not be read")
    return f" ({', '.join(parts)})" if parts else ""


def _splits_table(splits: dict[str, Any]) -> str:
    rows = [
        "| split | n | accuracy (95%) | UAR (95%) | macro F1 | ECE |",
        "|---|---|---|---|---|---|",
    ]
    for name, m in splits.items():
        rows.append(
            f"| {name} | {m['n']:,} | {_with_interval(m, 'accuracy')} | "
            f"{_with_interval(m, 'unweighted_average_recall')} | {m['macro_f1']:.3f} | "
            f"{m['expected_calibration_error']:.3f} |"
        )
    return "\n".join(rows)


def _lacking(splits: dict[str, Any]) -> str:
    """What the judged data held no example of, and how much of them could not be judged."""
    parts = []
    for name, measures in splits.items():
        if missing := measures.get("missing"):
            parts.append(f"The split {name} holds no example of {listed(missing)}.")
        if left_out := measures.get("left_out"):
            which, _, why = left_out[0].partition(": ")
            why = re.split("[.;]", why)[0]  # and not what to do about it
            parts.append(f"Left out of {name}: {len(left_out):,}, the first {which} ({why}).")
    return " ".join(parts)


def _with_interval(measures: dict[str, Any], name: str) -> str:
    low, high = measures[f"{name}_95"]
    return f"{measures[name]:.1%} ({low:.1%} to {high:.1%})"


def _details(evaluation: dict[str, Any]) -> list[str]:
    split = "test" if "test" in evaluation["splits"] else next(iter(evaluation["splits"]))
    measures = evaluation["splits"][split]
    rows = [
        f"Confusion on {split}, counts; a row is the true emotion, a column the answer:",
        "",
        "| | " + " | ".join(EMOTIONS) + " | recall |",
        "|---" * (len(EMOTIONS) + 2) + "|",
    ]
    for name, counts in zip(EMOTIONS, measures["confusion_matrix"], strict=True):
        cells = " | ".join(str(count) for count in counts)
        found = measures["classes"][name]
        recall = f"{found['recall']:.1%}" if found["support"] else ""
        rows.append(f"| {name} | {cells} | {recall} |")
    parts = ["\n".join(rows)]
    if "corpus_or_emotion" in evaluation:
        parts.append(_corpus_or_emotion(evaluation["corpus_or_emotion"]))
    return parts


def _corpus_or_emotion(found: dict[str, Any]) -> str:
    corpora = list(found["recall"])
    rows = [
        "Does it read the emotion, or how a corpus sounds? Test clips filtered so that their mean "
        "spectrum is that of another corpus; unweighted average recall, and in brackets the share "
        "of surprise heard as such / of other clips called surprise:",
        "",
        "| clips of | " + " | ".join(f"sounding like {c}" for c in corpora) + " |",
        "|---" * (len(corpora) + 1) + "|",
    ]
    for corpus in corpora:
        cells = []
        for other in corpora:
            surprise = found["surprise"][corpus][other]
            hit = "no surprise" if surprise["hit"] is None else f"{surprise['hit']:.0%}"
            cells.append(f"{found['recall'][corpus][other]:.1%} ({hit} / {surprise['false']:.0%})")
        rows.append(f"| {corpus} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _quantisation(card: dict[str, Any]) -> str:
    measured = ", ".join(
        f"{name} {m['validation_score']:.2%} ({m['bytes'] / 1e6:.2f} MB)"
        for name, m in card["quantisations"].items()
    )
    explained = " Dynamic: weights in int8, activations in floating point."
    return f"Validation accuracy by quantisation: {measured}.{explained * ('dynamic' in measured)}"
