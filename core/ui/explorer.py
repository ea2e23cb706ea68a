"""What the data pages share: the index, answers beside it, and one picture or clip in full."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from core import index
from core.datasets import DATA_SETS
from core.errors import DuetError
from core.labels import EMOTIONS
from core.map import FILE_NAME as MAP_NAME
from core.map import EmbeddingMap, read_map
from core.models import ModelInfo, Task, installed
from core.predictions import FILE_NAME as PREDICTIONS_NAME
from core.predictions import read_predictions
from core.results import FaceResult, Prediction, VoiceResult
from core.ui import cards, datasets, engine, keep, pictures, views, wall
from core.ui.engine import Trouble
from core.ui.keep import Media
from core.words import percent

COMMAND = "python -m training summarise --data PATH"
NEIGHBOURS = 12
JUDGED_ONLY = "The model was asked about the {:,} {} of validation and test, not about the others."


# --- what is known without the data -------------------------------------------------------------


def whole_index() -> pd.DataFrame | Trouble:
    """All files of all sets; the same object for every session, not to be changed."""
    return engine.told(_index)


def _index() -> pd.DataFrame:
    try:
        return index.read(index.SUMMARY_FOLDER / index.INDEX_NAME)
    except OSError as error:
        raise DuetError(
            "not_found", f"{str(error).rstrip('.')}; write it with {COMMAND}."
        ) from None


def summary() -> dict[str, Any] | Trouble:
    """`summary.json`: counts, the paper's tables and how they came about."""

    def job() -> dict[str, Any]:
        path = index.SUMMARY_FOLDER / "summary.json"
        try:
            found = json.loads(path.read_text())
        except (OSError, ValueError):
            found = None
        if not isinstance(found, dict):
            raise DuetError("not_found", f"{path} is missing or damaged; write it with {COMMAND}.")
        return found

    return engine.told(job)


def averages(name: str) -> dict[str, NDArray[Any]] | Trouble:
    """The arrays of `faces.npz` or `voices.npz`."""

    def job() -> dict[str, NDArray[Any]]:
        path = index.SUMMARY_FOLDER / f"{name}.npz"
        try:
            with np.load(path, allow_pickle=False) as stored:
                return {key: stored[key] for key in stored.files}
        except (OSError, ValueError, KeyError):
            raise DuetError(
                "not_found", f"{path} is missing or damaged; write it with {COMMAND}."
            ) from None

    return engine.told(job)


def is_absent(frame: pd.DataFrame, what: str, key: str) -> bool:
    """Whether the summary holds none of `what`, the files of `frame`; that is then said."""
    if not len(frame):
        text = f"This summary was written without {what}; where they are, write it with {COMMAND}."
        cards.empty("folder_off", text, key)
    return not len(frame)


def traced(command: str) -> None:
    """The command that the numbers above come from."""
    st.caption(f"By `{command}`")


# --- models beside the data ---------------------------------------------------------------------


def models(task: Task, file: str) -> dict[str, ModelInfo]:
    """Name -> model of those that come with a file, such as `predictions.npz`."""
    return {i.name: i for i in installed()[0] if i.task == task and (i.folder / file).is_file()}


def judged(task: Task) -> dict[str, ModelInfo]:
    """Models whose single answers are known."""
    return models(task, PREDICTIONS_NAME)


def mapped(task: Task) -> dict[str, ModelInfo]:
    """Models that come with a map."""
    return models(task, MAP_NAME)


@st.cache_resource(show_spinner=False, max_entries=8)
def _answers(_info: ModelInfo, folder: str, changed: float) -> pd.DataFrame:
    parts = []
    for split, found in read_predictions(_info).items():
        part = pd.DataFrame(
            {
                "split": split,
                "true": np.array(EMOTIONS)[found.labels],
                "answer": np.array(EMOTIONS)[found.answers],
                "confidence": found.confidence,
                "right": found.right,
            },
            index=pd.Index(found.ids, name="id"),
        )
        parts.append(
            pd.concat([part, pd.DataFrame(found.probabilities, part.index, EMOTIONS)], axis=1)
        )
    whole = pd.concat(parts)
    return whole[~whole.index.duplicated()]


def answers(info: ModelInfo) -> pd.DataFrame | Trouble:
    """A row for each example the model was judged on: answer, confidence, right; by id."""

    def job() -> pd.DataFrame:
        path = info.folder / PREDICTIONS_NAME
        changed = path.stat().st_mtime if path.is_file() else 0.0
        return _answers(info, str(info.folder), changed)

    return engine.told(job)


@st.cache_resource(show_spinner=False, max_entries=4)
def _map(_info: ModelInfo, folder: str, changed: float) -> EmbeddingMap:
    return read_map(_info)


def map_of(info: ModelInfo) -> EmbeddingMap | Trouble:
    """The model's map of its test set."""

    def job() -> EmbeddingMap:
        path = info.folder / MAP_NAME
        changed = path.stat().st_mtime if path.is_file() else 0.0
        return _map(info, str(info.folder), changed)

    return engine.told(job)


@st.cache_resource(show_spinner=False, max_entries=4)
def _embedder(_info: ModelInfo, sha256: str) -> Any:
    from core.embedding import Embedder

    return Embedder(_info)


# --- one example --------------------------------------------------------------------------------


def chosen(parameter: str, known: pd.DataFrame) -> str | None:
    """The example that the address of the page names; a sentence where the index lacks it."""
    name = st.query_params.get(parameter)
    if name and not (known["id"] == name).any():
        st.info(
            "The address of this page names a file that the data sets do not have; choose another.",
            icon=":material/info:",
        )
        return None
    return name or None


def choose(parameter: str, name: str) -> None:
    """Name an example in the address of the page."""
    st.query_params[parameter] = name


def table_key(table: str, names: Sequence[str]) -> str:
    """Key of a table of these examples: the row chosen in one is not that of the next.

    Streamlit goes by the key alone, and forgets what was chosen under one that is gone.
    """
    return f"{table}_{sha256(chr(10).join(names).encode()).hexdigest()[:12]}"


def tiles(names: list[str], words: list[str]) -> list[wall.Tile] | Trouble:
    """Pictures with what to say of each; the first trouble if they are not here."""
    found = []
    for name, said in zip(names, words, strict=True):
        image = engine.told(partial(datasets.face_image, name))
        if isinstance(image, Trouble):
            return image
        if image.shape != (48, 48):
            return Trouble("damaged", f"{name} is not 48 x 48 pixels; restore the data set.")
        found.append(wall.Tile(name, said, image))
    return found


def enlarged(image: NDArray[np.uint8], times: int) -> bytes:
    """A grey picture, smoothly enlarged, as JPEG."""
    import cv2

    large = cv2.resize(image, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
    return pictures.jpeg(np.repeat(np.asarray(large, np.uint8)[..., np.newaxis], 3, axis=2))


def facts(row: pd.Series) -> str:
    """What the index says of one file, in lines of Markdown."""
    lines = [f"File: `{row['file']}`", f"Data set: {DATA_SETS[row['dataset']]}"]
    lines += [f"Label: **{row['label']}**", f"Split: {row['split']}"]
    named = {"speaker": "Speaker", "sex": "Sex", "sentence": "Sentence", "intensity": "Intensity"}
    lines += [f"{words}: {row[name]}" for name, words in named.items() if row[name]]
    measured = {
        "duration": "Duration: {:.2f} s",
        "pitch": "Pitch: {:.0f} Hz, median",
        "level": "Speech: {:.0f} dBFS",
        "contrast": "Contrast: {:.1f} grey levels",
    }
    lines += [text.format(row[n]) for n, text in measured.items() if pd.notna(row[n])]
    if row["copies"] > 1:
        where = "in several splits" if row["across"] else "in one split"
        labels = f", with {row['labels']} different labels" if row["labels"] > 1 else ""
        lines.append(f"Copies: {row['copies']} files with this content, {where}{labels}")
    return "\n".join(f"- {line}" for line in lines)


def picture(name: str, known: pd.DataFrame, parameter: str) -> None:
    """The chosen picture in full, with a way to close it; `parameter` of the address names it."""

    def close() -> None:
        st.query_params.pop(parameter, None)

    with st.container(border=True, key="picture"):
        face(name, known, partial(choose, parameter), "picture")
        st.button("Close", icon=":material/close:", key="picture_close", on_click=close)


def face(name: str, known: pd.DataFrame, go_on: Callable[[str], None], inside: str) -> None:
    """One picture large, what is known of it, what each model says and what lies near it.

    Parameters
    ----------
    go_on : called with the name of a neighbour that was clicked.
    inside : key of the container that all of this is in.
    """
    image = engine.told(partial(datasets.face_image, name))
    if isinstance(image, Trouble):
        engine.show_trouble(image, "picture_trouble")
        return
    row = known[known["id"] == name].iloc[0]
    left, right = st.columns([1, 1.4], gap="large")
    with left:
        st.image(enlarged(image, 7), width=336, alt=f"A face labelled {row['label']}, enlarged")
    with right:
        st.markdown(facts(row))
    copies = known[known["group"] == row["group"]]
    if len(copies) > 1:
        st.dataframe(copies[["file", "label", "split"]], hide_index=True, key="picture_copies")
    said_of_face(image, str(row["label"]))
    near_face(name, image, known, go_on, inside)


def said_of_face(image: NDArray[np.uint8], label: str) -> None:
    """What each installed model says of a framed face."""
    for info in engine.offered("face"):
        result = face_answer(image, info.name)
        if isinstance(result, Trouble):
            engine.show_trouble(result, f"said_{info.name}")
            continue
        verdict = "as labelled" if result.label == label else f"labelled {label}"
        with st.container(key=f"said_{info.name}"):
            st.markdown(f"**{info.title}** ({info.name}), {verdict}")
            left, right = st.columns(2, gap="large")
            with left:
                cards.answer("Looks", result, f"said_{info.name}_answer", small=True)
            with right:
                cards.bars(result, f"said_{info.name}_bars")


def face_answer(image: NDArray[np.uint8], model: str) -> Prediction | Trouble:
    """What a model says of a framed face (48, 48)."""

    def job() -> Prediction:
        from core import models as library
        from core.face.classify import classify

        loaded = library.load(library.find("face", model))
        logits, _ = classify(image[np.newaxis], loaded)
        p = library.probabilities(logits[0], loaded.info.temperature)
        return Prediction(tuple(map(float, p)))

    return engine.attempt(job)


def near_face(
    name: str,
    image: NDArray[np.uint8],
    known: pd.DataFrame,
    go_on: Callable[[str], None],
    inside: str,
) -> None:
    """The test pictures that a model finds most like this one."""
    for info in mapped("face").values():
        found = map_of(info)
        if engine.told_trouble(found, f"near_{info.name}_trouble"):
            continue
        assert isinstance(found, EmbeddingMap)
        engine.mark(info, found.model_sha256)

        def job(found: EmbeddingMap = found, info: ModelInfo = info) -> list[str]:
            point = found.project(_embedder(info, info.sha256).faces(image[np.newaxis])[0])
            return [str(found.ids[i]) for i in found.nearest(point, NEIGHBOURS + 1)]

        near = engine.attempt(job)
        if isinstance(near, Trouble):
            engine.show_trouble(near, f"near_{info.name}_trouble")
            continue
        others = [other for other in near if other != name][:NEIGHBOURS]
        _neighbours(info, others, known, go_on, inside)


def _neighbours(
    info: ModelInfo,
    names: list[str],
    known: pd.DataFrame,
    go_on: Callable[[str], None],
    inside: str,
) -> None:
    said = answers(info)
    labels = known.set_index("id")["label"].reindex(names).astype("str").tolist()
    words = labels
    if not isinstance(said, Trouble):
        answered = said["answer"].reindex(names)
        words = [
            label if label == answer or pd.isna(answer) else f"{label}, read as {answer}"
            for label, answer in zip(labels, answered, strict=True)
        ]
    made = tiles(names, words)
    if isinstance(made, Trouble):
        engine.show_trouble(made, f"near_{info.name}_missing")
        return
    st.html(
        f'<p class="duet-finding">Nearest test pictures to {info.name}: {most_common(labels)}</p>'
    )
    wall.show(made, f"near_{info.name}", "", go_on, inside)


def most_common(labels: list[str]) -> str:
    """`9 of 12 are happy`."""
    leading = max(EMOTIONS, key=labels.count)
    return f"{labels.count(leading)} of {len(labels)} are {leading}"


def clip(name: str, known: pd.DataFrame) -> None:
    """One clip to hear and see, what is known of it and what the model says."""
    content = engine.told(partial(datasets.clip, name))
    if isinstance(content, Trouble):
        engine.show_trouble(content, "clip_trouble")
        return
    row = known[known["id"] == name].iloc[0]
    media = Media(name.rsplit("/", 1)[-1], content, "upload")
    keep.look_at(media)  # else each clip of thousands would be remembered
    result = heard(media)
    left, right = st.columns([1, 1.2], gap="large")
    with left:
        st.markdown(facts(row))
    with right:
        if isinstance(result, Trouble):
            engine.show_trouble(result, "clip_answer_trouble")
            st.audio(content)
            return
        views.player(media, result)
        cards.answer("Sounds", result.emotion, "clip_answer", small=True)
        verdict = (
            "as labelled" if result.emotion.label == row["label"] else "another than the label"
        )
        st.caption(f"By {result.model}: {verdict}, {percent(result.emotion.confidence)}")
        others_said(media, str(row["label"]))
    views.waveform(media, result)
    views.sound(media, result)


def others_said(media: Media, label: str) -> None:
    """What the other voice models say of a clip."""
    for info in engine.offered("voice")[1:]:
        result = engine.voice(media, engine.version("voice", info.name))
        if isinstance(result, Trouble):
            engine.show_trouble(result, f"said_{info.name}")
            continue
        verdict = "as labelled" if result.emotion.label == label else f"labelled {label}"
        st.caption(
            f"{info.name}: {result.emotion.label} {percent(result.emotion.confidence)}, {verdict}"
        )


def heard(media: Media) -> VoiceResult | Trouble:
    """What the default voice model says of a clip; remembered while it is looked at."""
    return engine.voice(media, engine.version("voice", None))


def framed_sample() -> NDArray[np.uint8]:
    """The drawn face as the models see it, (48, 48); for machines without the data."""
    from core.ui.samples import drawn_face

    result = engine.face(drawn_face(), engine.version("face", None))
    if isinstance(result, Trouble) or not result.faces:
        return _shrunk(drawn_face())
    first: FaceResult = result.faces[0]
    return first.framed


def _shrunk(media: Media) -> NDArray[np.uint8]:
    import cv2

    grey = cv2.imdecode(np.frombuffer(media.data, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert grey is not None
    return np.asarray(cv2.resize(grey, (48, 48), interpolation=cv2.INTER_AREA), np.uint8)
