"""Data, voices: how each emotion sounds, the clips themselves, and what training does to them."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from core.datasets import DATA_SETS
from core.index import SPLITS, VOICE_SETS
from core.labels import EMOTIONS
from core.ui import cards, charts, choices, dataplots, datasets, engine, entry, explorer, plots
from core.ui.choices import ANY
from core.ui.engine import Trouble
from core.voice.change import add_noise, change_pitch_and_tempo, shift_in_time
from core.voice.features import SAMPLE_RATE, log_mel_spectrogram, mel_centres

SOUND, CLIPS, CHANGES = "How emotions sound", "Clips", "Changes"
ALL, WRONG, UNSURE = "all", "misclassified", "low confidence"
EVERY_SET = "all four"
AT_ONCE = 25
PARAMETER = "clip"
NOISES = {"white": 0.0, "pink": 1.0, "brown": 2.0}

Spectrograms = tuple[NDArray[np.float64], NDArray[np.int64]]
"""Of a set: (7, columns, bands) in dB below the loudest cell, and (7,) clips that they sum up."""


# --- how emotions sound -------------------------------------------------------------------------


def sounds(frame: pd.DataFrame) -> None:
    """Mean spectrograms, pitch and loudness of each emotion."""
    left, right = st.columns(2, gap="large")
    with left:
        which = choices.one_of_many("Data set", [EVERY_SET, *VOICE_SETS], "set", set_name)
    with right:
        sex = choices.one_of_few("Speakers", [ANY, "female", "male"], "sex")
    part = frame if which == EVERY_SET else frame[frame["dataset"] == which]
    if explorer.is_absent(part, set_name(which), "set_absent"):
        return
    if sex != ANY:
        part = part[part["sex"] == sex]
    if not len(part):
        cards.empty("voice_selection", "Nobody of that sex speaks in this set.", "sounds_empty")
        return
    pitch_and_level(part)
    spectrograms(frame, which)


def set_name(key: str) -> str:
    """What a set is called; the choice of all of them as it is."""
    return DATA_SETS.get(key, key)


def pitch_and_level(part: pd.DataFrame) -> None:
    """Pitch, its range, and loudness by emotion."""
    medians = part.groupby("label", observed=True)["pitch"].median().dropna()
    left, right = st.columns(2, gap="large")
    if len(medians):
        title = (
            f"Pitch: {medians.idxmax()} is highest ({medians.max():.0f} Hz), {medians.idxmin()} "
            f"lowest ({medians.min():.0f} Hz)"
        )
        with left:
            figure, rows = dataplots.spread(part, "pitch", title, "median pitch (Hz)")
            plots.show(figure, "pitch", rows)
        moves = part.groupby("label", observed=True)["pitch_range"].median()
        title = f"Melody: the pitch moves most in {moves.idxmax()}, least in {moves.idxmin()}"
        with right:
            figure, rows = dataplots.spread(part, "pitch_range", title, "range (semitones)")
            plots.show(figure, "pitch_range", rows)
    energy(part)
    st.caption(
        "Boxes: the middle half of the clips; whiskers: from 5 to 95%. Pitch by autocorrelation "
        "every 10 ms of every clip, median and 10th to 90th percentile of the voiced frames. "
        "Each set was recorded in its own way, so levels are beside their own set's median where "
        "several are shown."
    )
    explorer.traced(explorer.COMMAND)


def energy(part: pd.DataFrame) -> None:
    """Loudness by emotion, within a set or beside each set's median."""
    axis = "level of the speech (dBFS)"
    if part["dataset"].nunique() > 1:
        median = part.groupby("dataset", observed=True)["level"].transform("median")
        part, axis = part.assign(level=part["level"] - median), "level beside the set's median (dB)"
    levels = part.groupby("label", observed=True)["level"].median()
    title = (
        f"Energy: {levels.idxmax()} is loudest, {levels.max() - levels.min():.0f} dB above "
        f"{levels.idxmin()}"
    )
    figure, rows = dataplots.spread(part, "level", title, axis)
    plots.show(figure, "level", rows)


def spectrograms(frame: pd.DataFrame, which: str) -> None:
    """The mean spectrogram of one emotion, and how it differs from the others."""
    st.subheader("Mean spectrogram")
    found = explorer.averages("voices")
    if isinstance(found, Trouble):
        engine.told_trouble(found, "voices_trouble")
        return
    emotion = choices.one_of_few("Emotion", EMOTIONS, "emotion")
    number = EMOTIONS.index(emotion)
    sets = spectrograms_of_sets(found, frame, which, number)
    if not sets:
        cards.empty("graphic_eq", f"This set has no {emotion}.", "spectrogram_empty")
        return
    centres = mel_centres()
    mean = np.average([s[number] for s, _ in sets], axis=0, weights=[n[number] for _, n in sets])
    apart = apart_from_others(sets, number)
    left, right = st.columns(2, gap="large")
    with left:
        title = f"{emotion.capitalize()}: mean of all its clips, dB below the loudest sound"
        figure = dataplots.mean_spectrogram(mean, centres, title, False)
        plots.show(figure, "mean_mel", spectrogram_rows(mean, centres))
    with right:
        if apart is None:
            cards.empty("graphic_eq", "There is no other emotion beside it.", "apart_empty")
            return
        title = f"What sets {emotion} apart: {strongest(apart, centres)}"
        figure = dataplots.mean_spectrogram(apart, centres, title, True)
        plots.show(figure, "mean_mel_apart", spectrogram_rows(apart, centres))
    st.caption(
        "From the first to the last sound of each clip, all stretched to one length; levels are "
        "relative to each clip's loudest sound, so that how loud it was spoken does not show. "
        "Right: louder (orange) or softer (blue) than the mean of the other emotions, set by set; "
        "sets weigh as they have clips. Women and men together."
    )


def spectrograms_of_sets(
    found: dict[str, NDArray[np.uint8]], frame: pd.DataFrame, which: str, number: int
) -> list[Spectrograms]:
    """The mean spectrograms of the sets that are asked for and have the emotion."""
    sets = []
    for name, means in found.items():
        counted = frame.loc[frame["dataset"] == name, "label"].value_counts()
        n = np.array([counted.get(emotion, 0) for emotion in EMOTIONS])
        n[(means == 255).all(axis=(1, 2))] = 0  # none, or none that can be heard
        if which in (EVERY_SET, name) and n[number]:
            sets.append((means / -2.0, n))
    return sets


def apart_from_others(sets: list[Spectrograms], number: int) -> NDArray[np.float64] | None:
    """(columns, bands): dB above the mean of the other emotions; None where there are none.

    Taken within each set, for each was recorded in its own way and not all have every emotion.
    """
    differences, weights = [], []
    for means, n in sets:
        others = np.delete(means, number, axis=0)[np.delete(n, number) > 0]
        if len(others):
            differences.append(means[number] - others.mean(axis=0))
            weights.append(n[number])
    return np.average(differences, axis=0, weights=weights) if differences else None


def strongest(apart: NDArray[np.float64], centres: NDArray[np.float64]) -> str:
    """Where the difference is largest, and which way: `most around 140 Hz, 4.1 dB softer`."""
    bands = apart.mean(axis=0)
    band = int(np.abs(bands).argmax())
    hertz = round(centres[band], -1 if centres[band] < 1000 else -2)
    way = "louder" if bands[band] > 0 else "softer"
    return f"most around {hertz:,.0f} Hz, {abs(bands[band]):.1f} dB {way}"


def spectrogram_rows(
    mel: NDArray[np.floating], centres: NDArray[np.float64]
) -> list[dict[str, float]]:
    """A row for each frequency: its value at each step."""
    return [
        {"hertz": round(float(hertz), 1), **{f"step_{i}": round(float(v), 1)
                                             for i, v in enumerate(mel[:, band])}}
        for band, hertz in enumerate(centres)
    ]  # fmt: skip


# --- clips --------------------------------------------------------------------------------------


def browse(frame: pd.DataFrame) -> None:
    """The clips in a table, the chosen one in full."""
    found = filtered(frame)
    if isinstance(found, Trouble):
        engine.told_trouble(found, "filter_trouble")
        return
    st.html(f'<p class="duet-finding">{len(found):,} of {len(frame):,} clips</p>')
    if not len(found):
        cards.empty("search_off", "No clip fits this choice; widen it.", "clips_empty")
        return
    pages = -(-len(found) // AT_ONCE)
    number = choices.number_up_to(f"Page (of {pages:,})", pages, "page")
    part = found.iloc[(number - 1) * AT_ONCE : number * AT_ONCE]
    columns = ["dataset", "label", "speaker", "sex", "sentence", "intensity", "split", "duration",
               "pitch", "answer", "confidence", "file"]  # fmt: skip
    shown = part[[name for name in columns if name in part]]
    names = part["id"].tolist()
    key = explorer.table_key("clips_table", names)
    st.dataframe(
        shown.assign(
            dataset=dataplots.set_names(shown),
            intensity=shown["intensity"].astype("str").replace("", "not stated"),
        ),
        hide_index=True,
        placeholder="–",
        height=280,
        key=key,
        on_select=partial(pick, key, names),
        selection_mode="single-row",
        column_config={
            "dataset": "data set",
            "duration": st.column_config.NumberColumn("seconds", format="%.2f"),
            "pitch": st.column_config.NumberColumn("pitch (Hz)", format="%.0f"),
            "confidence": st.column_config.NumberColumn(format="percent"),
        },
    )
    st.caption("Choose a row to hear and see the clip; Changes then changes it.")
    picked = explorer.chosen(PARAMETER, frame)
    if picked is None:
        return
    with st.container(border=True, key="clip"):
        if datasets.data_folder() is None:
            st.markdown(explorer.facts(frame[frame["id"] == picked].iloc[0]))
            st.caption(datasets.missing())
        else:
            explorer.clip(picked, frame)


def pick(key: str, names: list[str]) -> None:
    """Callback: the chosen row's clip goes into the address."""
    rows = st.session_state[key].selection.rows
    if rows and rows[0] < len(names):
        explorer.choose(PARAMETER, names[rows[0]])


def filtered(frame: pd.DataFrame) -> pd.DataFrame | Trouble:
    """The clips asked for."""
    judged = explorer.judged("voice")
    top, below = st.columns(3), st.columns(3)
    with top[0]:
        which = choices.one_of_many("Data set", [EVERY_SET, *VOICE_SETS], "set", set_name)
    with top[1]:
        label = choices.one_of_many("Emotion", [ANY, *EMOTIONS], "label")
    with top[2]:
        split = choices.one_of_many("Split", [ANY, *SPLITS], "split")
    with below[0]:
        sex = choices.one_of_many("Speakers", [ANY, "female", "male"], "sex")
    with below[1]:
        show = choices.one_of_many("Show", [ALL, *((WRONG, UNSURE) if judged else ())], "show")
    keep = np.ones(len(frame), bool)
    asked = (("label", label), ("split", split), ("sex", sex))
    for column, value in asked:
        if value != ANY:
            keep &= (frame[column] == value).to_numpy()
    if which != EVERY_SET:
        keep &= (frame["dataset"] == which).to_numpy()
    if show == ALL:
        return frame[keep]
    with below[2]:
        model = choices.one_of_many("By model", list(judged), "by")
    said = explorer.answers(judged[model])
    if isinstance(said, Trouble):
        return said
    st.caption(explorer.JUDGED_ONLY.format(int(frame["id"].isin(said.index).sum()), "clips"))
    joined = frame[keep].join(said[["answer", "confidence", "right"]], on="id", how="inner")
    if show == WRONG:
        return joined[~joined["right"].astype(bool)].sort_values("confidence", ascending=False)
    return joined[joined["confidence"] < 0.5].sort_values("confidence")


# --- changes ------------------------------------------------------------------------------------


def changes(frame: pd.DataFrame) -> None:
    """The four augmentations, to hear before and after."""
    samples, about = subject(frame)
    if isinstance(samples, Trouble):
        engine.told_trouble(samples, "changes_trouble")
        return
    st.markdown(
        f"{about} Four changes make more of each training clip: noise, tempo, pitch and a shift "
        "in time. Test clips are never changed."
    )
    left, right = st.columns([1, 1.3], gap="large")
    with left:
        after = changed(samples)
    with right:
        heard("Before", samples, "before")
        heard("After", after, "after")


def subject(frame: pd.DataFrame) -> tuple[NDArray[np.float32] | Trouble, str]:
    """(samples to change, a sentence that says whose)."""
    from core.media import decode_audio
    from core.ui.samples import synthetic_voice

    picked = explorer.chosen(PARAMETER, frame)
    if picked and datasets.data_folder() is not None:
        content = engine.told(partial(datasets.clip, picked))
        if isinstance(content, Trouble):
            return content, ""
        found = engine.attempt(lambda: decode_audio(content, picked).samples)
        return found, f"The chosen clip, `{picked}`."
    voice = synthetic_voice()
    found = engine.attempt(lambda: decode_audio(voice.data, voice.name).samples)
    return found, "A voice synthesised by code; choose a clip under Clips instead."


def changed(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The samples as the sliders ask for."""

    def slider(label: str, low: float, high: float, at: float, step: float, key: str) -> float:
        return float(
            st.slider(label, low, high, at, step, format="%g", key=key, bind="query-params")
        )

    semitones = slider("Pitch (semitones)", -6.0, 6.0, 0.0, 0.5, "pitch")
    tempo = slider("Tempo (times as fast)", 0.6, 1.6, 1.0, 0.05, "tempo")
    moved = slider("Shift in time (s)", -1.0, 1.0, 0.0, 0.05, "moved")
    noise = slider("Noise: speech is louder by (dB; 40 is none)", 0.0, 40.0, 40.0, 1.0, "noise")
    colour = choices.one_of_few("Kind of noise", list(NOISES), "colour")
    if semitones or tempo != 1:
        samples = change_pitch_and_tempo(samples, 2 ** (semitones / 12), tempo)
    if moved:
        samples = shift_in_time(samples, moved)
    if noise < 40:
        samples = add_noise(samples, noise, NOISES[colour], np.random.default_rng(7))
    return samples


def heard(title: str, samples: NDArray[np.float32], key: str) -> None:
    """Samples to hear, and their spectrogram."""
    from core.ui.samples import wav

    seconds = len(samples) / SAMPLE_RATE
    st.html(f'<p class="duet-finding">{title}: {seconds:.2f} s</p>')
    st.audio(wav(np.clip(samples, -1, 1)), format="audio/wav")
    mel = charts.columns(log_mel_spectrogram(np.clip(samples, -1, 1)))
    charts.show(charts.spectrogram(mel, mel_centres(), seconds), f"changes_{key}")


def page() -> None:
    """The three views."""
    st.title("Voices in the data")
    st.markdown(
        "RAVDESS, CREMA-D, SAVEE and TESS: 121 actors say given sentences with given emotions."
    )
    frame = explorer.whole_index()
    if isinstance(frame, Trouble):
        engine.told_trouble(frame, "index_trouble")
        return
    clips = frame[frame["dataset"].isin(VOICE_SETS)]
    view = choices.one_of_few("View", (SOUND, CLIPS, CHANGES), "view", hidden=True)
    if view != CHANGES and explorer.is_absent(clips, "voices", "voices_absent"):
        return
    {SOUND: sounds, CLIPS: browse, CHANGES: changes}[view](clips)


entry.through_home()
page()
datasets.setting()
cards.footer()
