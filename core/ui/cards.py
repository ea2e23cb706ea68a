"""Pieces that the pages share: the answer, the bars, notes, empty states, downloads.

Small HTML instead of charts where the content is text and a bar: it is read aloud as text, wraps
at any width and takes its colours from the theme in use.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import streamlit as st

from core.datasets import DATA_SETS
from core.labels import EMOTIONS
from core.models import ModelInfo
from core.results import HybridResult, Prediction, QualityNote
from core.ui.looks import FACE_COLOUR, LOOKS, VOICE_COLOUR, ink_on
from core.words import percent

if TYPE_CHECKING:
    from core.fusion import Together

Verb = Literal["Looks", "Sounds", "Seems"]


def symbol(name: str) -> str:
    """A Material symbol, hidden from screen readers: the text beside it says the same."""
    return f'<span class="duet-symbol" aria-hidden="true">{name}</span>'


def heading(verb: str, emotion: Prediction) -> str:
    """The answer in words: "Looks happy · 83% sure"; never more certain than it is."""
    word = LOOKS[emotion.label].adjective
    if emotion.unsure:
        return f"Unsure: perhaps {word} · {percent(emotion.confidence)}"
    return f"{verb} {word} · {percent(emotion.confidence)} sure"


def _short(p: float) -> str:
    """As `percent`, where there is little room."""
    return percent(p).replace("over ", "&gt;").replace("under ", "&lt;")


def alternatives(emotion: Prediction) -> str:
    """What else it could be."""
    second, third = emotion.ranked[1], emotion.ranked[2]
    if emotion.unsure:
        return (
            f"No emotion reaches 50%. It could also be {second[0]} ({percent(second[1])}) "
            f"or {third[0]} ({percent(third[1])})."
        )
    if second[1] < 0.02:
        return "No other emotion reaches 2%."
    return f"Next most likely: {second[0]}, {percent(second[1])}."


def answer(verb: Verb, emotion: Prediction, key: str, *, small: bool = False) -> None:
    """The answer first and large, with its icon, its certainty and what else it could be."""
    look = LOOKS[emotion.label]
    kind = "duet-answer small" if small else "duet-answer"
    words, sure = heading(verb, emotion).split(" · ")
    with st.container(key=key):
        st.html(
            f'<div class="{kind}" style="--c:{look.colour};--ink:{ink_on(look.colour)}">'
            f"{symbol('question_mark' if emotion.unsure else look.icon)}"
            f'<div><h2>{words} · <span class="sure">{sure}</span></h2>'
            f"<p>{alternatives(emotion)}</p></div></div>"
        )


def finding(emotion: Prediction) -> str:
    """What the bars show, as their title."""
    (first, p), (second, q) = emotion.ranked[:2]
    if p - q < 0.1:
        return f"{first} and {second} are close"
    return f"{first}, {'well ' if p - q >= 0.3 else ''}ahead of {second}"


def bars(emotion: Prediction, key: str) -> None:
    """The seven calibrated probabilities, always in the same order."""
    rows = []
    for name, p in zip(EMOTIONS, emotion.probabilities, strict=True):
        look = LOOKS[name]
        first = " first" if name == emotion.label else ""
        style = f'style="--c:{look.colour}"'
        rows.append(
            f'<div class="name{first}" {style}>{symbol(look.icon)}{name}</div>'
            f'<div class="duet-track" {style}><i style="width:{100 * p:.1f}%"></i></div>'
            f'<div class="value{first}">{_short(p)}</div>'
        )
    with st.container(key=key):
        st.html(
            f'<p class="duet-finding">Probabilities: {finding(emotion)}</p>'
            f'<div class="duet-bars">{"".join(rows)}</div>'
        )


def compare(result: HybridResult, key: str) -> None:
    """Face, voice and both together, emotion by emotion."""
    sides = {"Face": result.face.emotion, "Voice": result.voice.emotion, "Together": result.fused}
    head = "".join(f'<th scope="col">{side}</th>' for side in sides)
    rows = []
    for index, name in enumerate(EMOTIONS):
        look = LOOKS[name]
        cells = ""
        for emotion in sides.values():
            p = emotion.probabilities[index]
            first = ' class="first"' if emotion.label == name else ""
            cells += (
                f'<td{first}>{_short(p)}<div class="duet-track"><i style="width:{100 * p:.1f}%">'
                "</i></div></td>"
            )
        rows.append(
            f'<tr style="--c:{look.colour}"><th scope="row">{symbol(look.icon)}{name}</th>'
            f"{cells}</tr>"
        )
    with st.container(key=key):
        st.html(
            f'<p class="duet-finding">Together: {finding(result.fused)}</p>'
            f'<table class="duet-table"><thead><tr><th scope="col">emotion</th>{head}</tr></thead>'
            f"<tbody>{''.join(rows)}</tbody></table>"
        )


def weights(result: HybridResult | Together, key: str) -> None:
    """How much each side moved the fused answer."""
    face, voice = result.weights["face"], result.weights["voice"]
    leader = "the face" if face >= voice else "the voice"
    title = "Both sides weigh the same" if abs(face - voice) < 0.05 else f"More weight on {leader}"
    with st.container(key=key):
        st.html(
            f'<p class="duet-finding">{title}</p><div class="duet-split">'
            f'<span style="flex:{face:.3f};background:{FACE_COLOUR}">Face {face:.0%}</span>'
            f'<span style="flex:{voice:.3f};background:{VOICE_COLOUR}">Voice {voice:.0%}</span>'
            "</div>"
        )


def notes(quality: Sequence[QualityNote]) -> None:
    """What makes the answer less trustworthy."""
    for note in quality:
        st.html(
            f'<div class="duet-note">{symbol("error")}<div>{html.escape(note.message)}</div></div>'
        )


def empty(icon_name: str, text: str, key: str) -> None:
    """What to do next, where there is nothing to show yet."""
    with st.container(key=key):
        st.html(f'<div class="duet-empty">{symbol(icon_name)}<p>{html.escape(text)}</p></div>')


def downloads(json_text: str, csv_text: str, names: tuple[str, str], key: str) -> None:
    """The result as JSON and as CSV."""
    with st.container(horizontal=True, key=f"{key}_downloads"):
        for kind, text, name, mime in (
            ("JSON", json_text, names[0], "application/json"),
            ("CSV", csv_text, names[1], "text/csv"),
        ):
            st.download_button(
                f"Download {kind}",
                text,
                file_name=name,
                mime=mime,
                icon=":material/download:",
                on_click="ignore",
                key=f"{key}_{kind.lower()}",
            )


def timings(milliseconds: dict[str, float]) -> str:
    """`decode 3.1 ms, detect ...` in the order of the work."""
    return ", ".join(f"{stage} {value:.1f} ms" for stage, value in milliseconds.items())


def titles(infos: Iterable[ModelInfo]) -> dict[str, str]:
    """Name -> title of each model, with the name behind it where several have the same title."""
    infos = list(infos)
    count = Counter(info.title for info in infos)
    return {
        info.name: info.title if count[info.title] == 1 else f"{info.title} ({info.name})"
        for info in infos
    }


def model_line(info: ModelInfo) -> str:
    """The model in one line of Markdown."""
    size = f"{info.parameters / 1e6:.1f} M parameters, {info.bytes / 1e6:.1f} MB"
    return f"**{info.title}** (`{info.name}`): {info.architecture}; {size}"


CORPORA = {"ravdess": "RAVDESS", "crema_d": "CREMA-D", "savee": "SAVEE", "tess": "TESS"}
"""Names of the voice test sets; each is told apart, for they differ too much to be pooled."""


def headline(info: ModelInfo) -> str:
    """The model's measured quality in a few words, from its `evaluation.json`."""
    recalls = {
        name: _measures(info, f"test/{corpus}").get("unweighted_average_recall")
        for corpus, name in CORPORA.items()
    }
    known = [f"{k} {p:.1%}" for k, p in recalls.items() if isinstance(p, float) and 0 <= p <= 1]
    if known:
        return f"Unweighted average recall on held-out speakers: {', '.join(known)}"
    test = _measures(info, "test")
    try:
        accuracy, recall = test["accuracy"], test["unweighted_average_recall"]
        if not (0 <= accuracy <= 1 and 0 <= recall <= 1):
            return "Its evaluation is damaged"
        return (
            f"On {test['n']:,} held-out test items: {accuracy:.1%} accuracy, "
            f"{recall:.1%} unweighted average recall"
        )
    except (KeyError, TypeError, ValueError):
        return "Not evaluated yet"


def _measures(info: ModelInfo, split: str) -> dict[str, Any]:
    """What `evaluation.json` says of one split; nothing where it is missing or damaged."""
    found: Any = info.evaluation
    for key in ("splits", split):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def model_facts(infos: Sequence[ModelInfo], name: str) -> list[str]:
    """The model called `name` in lines of Markdown: what it is, and how well it is calibrated."""
    lines = []
    for info in infos:
        if info.name == name:
            lines.append(model_line(info))
            error = _measures(info, "test").get("expected_calibration_error")
            if isinstance(error, float):
                lines.append(
                    "How sure it is was calibrated on validation data; expected calibration error "
                    f"{error:.3f} on test data{_calibration_by_set(info)}"
                )
    return lines


def _calibration_by_set(info: ModelInfo) -> str:
    """Of each set among the test data, where there are several: one may hide behind another."""
    errors = {
        words: _measures(info, f"test/{name}").get("expected_calibration_error")
        for name, words in DATA_SETS.items()
    }
    told = [f"{words} {error:.3f}" for words, error in errors.items() if isinstance(error, float)]
    return f" ({', '.join(told)})" if told else ""


def chips() -> None:
    """The seven emotions, each with the icon and the colour it has everywhere."""
    items = "".join(
        f'<span class="chip" style="--c:{look.colour}">{symbol(look.icon)}{name}</span>'
        for name, look in LOOKS.items()
    )
    st.html(f'<div class="duet-chips">{items}</div>')


def overview(rows: Sequence[tuple[str, Sequence[Prediction] | str]], key: str) -> None:
    """What was found in each of several files: (title, its answers or why there is none)."""
    lines = []
    for title, answers in rows:
        if isinstance(answers, str):
            found = f"no answer: {html.escape(answers)}"
        else:
            found = ", ".join(map(_brief, answers))
        lines.append(f"<tr><td>{html.escape(title)}</td><td>{found}</td></tr>")
    with st.expander(f"All {len(rows)} at a glance", icon=":material/table_rows:", key=key):
        st.html(
            '<table class="duet-table"><thead><tr><th scope="col">file</th>'
            f'<th scope="col">answer</th></tr></thead><tbody>{"".join(lines)}</tbody></table>'
        )


def _brief(emotion: Prediction) -> str:
    """The answer in a few words, beside its icon; unsure ones are called so."""
    look = LOOKS[emotion.label]
    icon, doubt = ("question_mark", "unsure: perhaps ") if emotion.unsure else (look.icon, "")
    return (
        f'<span style="--c:{look.colour};white-space:nowrap">'
        f"{symbol(icon)}{doubt}{emotion.label} {_short(emotion.confidence)}</span>"
    )


def statement(icon_name: str, text: str) -> None:
    """A sentence that matters, beside an icon."""
    st.html(
        f'<div class="duet-note strong">{symbol(icon_name)}<div>{html.escape(text)}</div></div>'
    )


HONESTY = (
    "Duet reads expressions, not inner feelings: a smile can be polite and a flat voice content. "
    "Pictures and recordings stay in memory only, are never written to disk and are forgotten "
    "when your session ends. Inferring emotions at work or in schools is restricted by law in "
    "places: in the European Union by Article 5 of the AI Act, except for medical or safety "
    "reasons."
)


def footer() -> None:
    """The honest notes, at the end of every page."""
    st.divider()
    with st.container(key="honesty"):
        st.caption(HONESTY)
