"""Data, faces: their means and spread, the pictures themselves, and what training does to them."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from core.face.change import FaceChange, changed_face, erase
from core.face.tensor import FACE_SIZE, face_tensor
from core.index import FACE_SETS, NEAR_BLANK_CONTRAST, SPLITS
from core.labels import EMOTIONS
from core.results import UNSURE_BELOW
from core.ui import (
    cards,
    choices,
    dataplots,
    datasets,
    engine,
    entry,
    explorer,
    pictures,
    plots,
    wall,
)
from core.ui.choices import ANY
from core.ui.engine import Trouble
from core.words import listed, percent

MEANS, PICTURES, CHANGES = "Mean faces", "Pictures", "Changes"
ALL = "all"
COPIES, ACROSS, CONFLICTS, BLANK = (
    "copies",
    "copies across splits",
    "several labels",
    "nearly blank",
)
UNSURE, WRONG, SURELY_WRONG = "low confidence", "misclassified", "surely misclassified"
OF_MODELS = (UNSURE, WRONG, SURELY_WRONG)
SURE = 0.9
AT_ONCE = 60
PARAMETER = "picture"


# --- means --------------------------------------------------------------------------------------


def means(frame: pd.DataFrame) -> None:
    """The mean face of each emotion, what sets it apart, and where its faces differ."""
    found = explorer.averages("faces")
    if isinstance(found, Trouble):
        engine.told_trouble(found, "means_trouble")
        return
    mean, deviation = (found[name].astype(np.float32) for name in ("mean", "deviation"))
    counted = frame["label"].value_counts()
    there = counted[counted > 0]
    row(
        f"Mean face: {there.min():,} to {there.max():,} faces on top of each other leave what they "
        "share",
        {name: grey(mean[i], 60, 190) for i, name in enumerate(EMOTIONS)},
        {name: f"{counted.get(name, 0):,} pictures" for name in EMOTIONS},
    )
    shape = mean - np.nanmean(mean, axis=(1, 2), keepdims=True)
    apart = shape - np.nanmean(shape, axis=0)
    most = np.nan_to_num(np.abs(apart).mean(axis=(1, 2)))
    row(
        f"What sets it apart: {EMOTIONS[int(most.argmax())]} differs most from the mean of all",
        {name: diverging(apart[i], 30) for i, name in enumerate(EMOTIONS)},
        {name: f"{most[i]:.1f} grey levels" for i, name in enumerate(EMOTIONS)},
    )
    st.caption(
        "Orange: lighter than the mean of all emotions. Blue: darker. How bright the pictures are "
        "as a whole is taken off first."
    )
    wide = np.nanmean(deviation, axis=(1, 2)).round()
    most_spread, least_spread = (
        listed([name for name, spread in zip(EMOTIONS, wide, strict=True) if spread == end])
        for end in (np.nanmax(wide), np.nanmin(wide))
    )
    row(
        f"Spread: faces labelled {most_spread} differ most from each other, those labelled "
        f"{least_spread} least",
        {name: grey(deviation[i], 45, 85) for i, name in enumerate(EMOTIONS)},
        {name: f"± {wide[i]:.0f} grey levels" for i, name in enumerate(EMOTIONS)},
    )
    st.caption("Light: where the faces of one emotion differ much. Standard deviation, 45 to 85.")
    explorer.traced(explorer.COMMAND)


def grey(values: NDArray[np.float32], low: float = 0, high: float = 255) -> NDArray[np.uint8]:
    """Values as an RGB picture, `low` black and `high` white."""
    levels = np.clip(255 * (np.nan_to_num(values) - low) / (high - low), 0, 255).astype(np.uint8)
    return np.repeat(levels[..., np.newaxis], 3, axis=2)


def diverging(values: NDArray[np.float32], limit: float = 40) -> NDArray[np.uint8]:
    """Blue below 0, orange above it, white at 0."""
    share = np.clip(np.nan_to_num(values) / limit, -1, 1)[..., np.newaxis]
    blue, orange, white = (np.array(c) for c in ((30, 90, 200), (212, 129, 10), (245, 245, 245)))
    mixed = white + np.maximum(share, 0) * (orange - white) + np.maximum(-share, 0) * (blue - white)
    return mixed.astype(np.uint8)


def row(title: str, images: dict[str, NDArray[np.uint8]], words: dict[str, str]) -> None:
    """A picture for each emotion, side by side where there is room."""
    figures = "".join(
        f'<figure><img alt="{name}" src="{wall.data_url(large(image))}">'
        f"<figcaption><b>{name}</b><br>{words[name]}</figcaption></figure>"
        for name, image in images.items()
    )
    st.html(f'<p class="duet-finding">{title}</p><div class="duet-figures">{figures}</div>')


def large(image: NDArray[np.uint8]) -> bytes:
    """A small RGB picture enlarged three times, as JPEG."""
    import cv2

    return pictures.jpeg(
        np.asarray(cv2.resize(image, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC), np.uint8)
    )


# --- pictures -----------------------------------------------------------------------------------


def browse(frame: pd.DataFrame) -> None:
    """The wall, and the picture chosen from it in full."""
    picked = explorer.chosen(PARAMETER, frame)
    if picked:
        explorer.picture(picked, frame, PARAMETER)
    found, words = filtered(frame)
    if isinstance(found, Trouble):
        engine.told_trouble(found, "filter_trouble")
        return
    st.html(f'<p class="duet-finding">{len(found):,} of {len(frame):,} pictures</p>')
    if not len(found):
        cards.empty("image_search", "No picture fits this choice; widen it.", "wall_empty")
        return
    if datasets.data_folder() is None:
        cards.empty("folder_off", datasets.missing(), "wall_missing")
        st.dataframe(found[["file", "label", "split"]].head(200), hide_index=True, key="wall_names")
        return
    pages = -(-len(found) // AT_ONCE)
    number = choices.number_up_to(f"Page (of {pages:,})", pages, "page")
    part = slice((number - 1) * AT_ONCE, number * AT_ONCE)
    made = explorer.tiles(found["id"].iloc[part].tolist(), words.iloc[part].tolist())
    if isinstance(made, Trouble):
        engine.told_trouble(made, "wall_trouble")
        return
    wall.show(made, "faces_wall", picked or "", partial(explorer.choose, PARAMETER), "picture")
    st.caption(
        "Click a picture to see it large, what each model says of it, and what is like it; Changes "
        "then changes it."
    )


def filtered(frame: pd.DataFrame) -> tuple[pd.DataFrame | Trouble, pd.Series]:
    """(rows to show, what to say of each)."""
    judged = explorer.judged("face")
    shows = [ALL, COPIES, ACROSS, CONFLICTS, BLANK, *(OF_MODELS if judged else ())]
    columns = st.columns(4)
    with columns[0]:
        label = choices.one_of_many("Emotion", [ANY, *EMOTIONS], "emotion")
    with columns[1]:
        split = choices.one_of_many("Split", [ANY, *SPLITS], "split")
    with columns[2]:
        show = choices.one_of_many("Show", shows, "show")
    keep = np.ones(len(frame), bool)
    for column, value in (("label", label), ("split", split)):
        if value != ANY:
            keep &= (frame[column] == value).to_numpy()
    none = pd.Series(dtype=object)
    if show in OF_MODELS:
        with columns[3]:
            model = choices.one_of_many("By model", list(judged), "by")
        said = explorer.answers(judged[model])
        if isinstance(said, Trouble):
            return said, none
        st.caption(explorer.JUDGED_ONLY.format(int(frame["id"].isin(said.index).sum()), "pictures"))
        return judged_by(frame[keep], said, show)
    known = {
        ALL: np.ones(len(frame), bool),
        COPIES: (frame["copies"] > 1).to_numpy(),
        ACROSS: frame["across"].to_numpy(),
        CONFLICTS: (frame["labels"] > 1).to_numpy(),
        BLANK: (frame["contrast"] < NEAR_BLANK_CONTRAST).to_numpy(),
    }
    found = frame[keep & known[show]]
    if show in (COPIES, ACROSS, CONFLICTS):
        found = found.sort_values(["group", "file"], kind="stable")
    else:  # not all of one emotion first
        found = found.sample(frac=1, random_state=7)
    return found, found["label"].astype("str") + ", " + found["split"].astype("str")


def judged_by(frame: pd.DataFrame, said: pd.DataFrame, show: str) -> tuple[pd.DataFrame, pd.Series]:
    """Rows that a model was unsure or wrong about, the surest error or the least sure first."""
    joined = frame.join(said[["answer", "confidence", "right"]], on="id", how="inner")
    if show == UNSURE:
        joined = joined[joined["confidence"] < UNSURE_BELOW].sort_values("confidence")
    else:
        joined = joined[~joined["right"].astype(bool)]
        if show == SURELY_WRONG:
            joined = joined[joined["confidence"] >= SURE]
        joined = joined.sort_values("confidence", ascending=False)
    words = [
        f"{row.label}, read as {row.answer} {percent(row.confidence)}"
        for row in joined.itertuples()
    ]
    return joined, pd.Series(words, joined.index, dtype=object)


# --- changes ------------------------------------------------------------------------------------


def changes(frame: pd.DataFrame) -> None:
    """Before and after of resizing, normalising and each augmentation."""
    face, about = subject(frame)
    st.markdown(
        f"{about} Training shows every face a little differently each time, by amounts drawn at "
        "random; here the same functions take the amounts you choose."
    )
    # The pictures come first and stay in sight while the sliders below them on a phone are moved.
    left, right = st.columns([1.2, 1], gap="large")
    with right:
        size, change, erased = sliders()
    after = changed_face(face, size, change, np.random.default_rng(7))
    tensor = face_tensor(after)[0, ..., 0]
    if erased:
        side = round(size * erased**0.5)
        erase(tensor, (size - side) // 2, (size - side) // 2, side, side)
    with left, st.container(key="changes_shown"):
        row_of(
            {
                "as it is": (face, f"{face.shape[0]} x {face.shape[1]} pixels"),
                "changed": (after, f"{size} x {size} pixels"),
                "as the network gets it": (
                    grey(tensor, -2.5, 2.5)[..., 0],
                    f"mean {tensor.mean():z.2f}, deviation {tensor.std():.2f}",
                ),
            }
        )
        answered(face, after)
    if erased:
        st.caption("The answer is to the face before blanking, which only training does.")
    if size != FACE_SIZE:
        st.caption("For its answer the changed face is brought back to 48 x 48 pixels.")
    figure, rows = dataplots.grey_levels(after, tensor)
    plots.show(figure, "normalising", rows)


def subject(frame: pd.DataFrame) -> tuple[NDArray[np.uint8], str]:
    """(the face to change, a sentence that says which it is)."""
    picked = explorer.chosen(PARAMETER, frame)
    if picked:
        image = engine.told(partial(datasets.face_image, picked))
        if not isinstance(image, Trouble):
            return image, f"The chosen picture, `{picked}`."
    return explorer.framed_sample(), "A face drawn by code; choose one under Pictures instead."


def sliders() -> tuple[int, FaceChange, float]:
    """(size in pixels, amounts of change, share that is blanked) as asked for."""

    def slider(label: str, low: float, high: float, at: float, step: float, key: str) -> float:
        return float(
            st.slider(label, low, high, at, step, format="%g", key=key, bind="query-params")
        )

    size = int(slider("Size (pixels)", 24.0, 96.0, float(FACE_SIZE), 4.0, "size"))
    change = FaceChange(
        rotation=slider("Turned (degrees)", -30.0, 30.0, 0.0, 1.0, "turned"),
        scale=slider("Scale", 0.7, 1.5, 1.0, 0.05, "scale"),
        shift=(
            slider("Moved right (% of the face)", -20.0, 20.0, 0.0, 1.0, "right") / 100,
            slider("Moved down (% of the face)", -20.0, 20.0, 0.0, 1.0, "down") / 100,
        ),
        mirrored=st.toggle("Mirrored", key="mirrored", bind="query-params"),
        gamma=slider("Gamma (below 1 is lighter)", 0.4, 2.5, 1.0, 0.05, "gamma"),
        blur=slider("Blur (pixels)", 0.0, 3.0, 0.0, 0.1, "blur"),
        noise=slider("Noise (grey levels)", 0.0, 40.0, 0.0, 1.0, "noise"),
    )
    return size, change, slider("Blanked (% of the face)", 0.0, 40.0, 0.0, 2.0, "blanked") / 100


def row_of(images: dict[str, tuple[NDArray[np.uint8], str]]) -> None:
    """Grey pictures of any size, shown at one size."""
    import cv2

    shown = {}
    for name, (image, _) in images.items():
        resized = cv2.resize(image, (FACE_SIZE, FACE_SIZE), interpolation=cv2.INTER_NEAREST)
        shown[name] = np.repeat(np.asarray(resized, np.uint8)[..., np.newaxis], 3, axis=2)
    row("Before and after", shown, {name: words for name, (_, words) in images.items()})


def answered(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> None:
    """Whether the change moves the model's answer."""
    import cv2

    offered = engine.offered("face")
    if not offered:
        return
    framed = np.asarray(cv2.resize(after, (FACE_SIZE, FACE_SIZE)), np.uint8)
    first, second = (explorer.face_answer(image, offered[0].name) for image in (before, framed))
    if isinstance(first, Trouble) or isinstance(second, Trouble):
        engine.told_trouble(first, "changes_trouble")
        return
    same = first.label == second.label
    still = "says" if np.array_equal(before, after) else "still says"
    cards.statement(
        "check_circle" if same else "compare_arrows",
        f"{offered[0].name} {still if same else 'now says'} {second.label} "
        f"({percent(second.confidence)}{'' if same else f'; before: {first.label}'})",
    )


def page() -> None:
    """The three views."""
    st.title("Faces in the data")
    st.markdown("FER2013: 48 x 48 grey pictures found by searching the web for emotion words.")
    frame = explorer.whole_index()
    if isinstance(frame, Trouble):
        engine.told_trouble(frame, "index_trouble")
        return
    faces = frame[frame["dataset"].isin(FACE_SETS)]
    view = choices.one_of_few("View", (MEANS, PICTURES, CHANGES), "view", hidden=True)
    if view != CHANGES and explorer.is_absent(faces, "pictures", "faces_absent"):
        return
    {MEANS: means, PICTURES: browse, CHANGES: changes}[view](faces)


entry.through_home()
page()
datasets.setting()
cards.footer()
