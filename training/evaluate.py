"""How good a shipped model is: the one place that `evaluation.json` comes from.

What is measured is what ships: the LiteRT file, called through the same functions of `core` as
the app calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.datasets import AUDIO_SUFFIXES
from core.errors import DuetError
from core.face import FaceMode, analyze_faces
from core.face.classify import classify
from core.labels import EMOTIONS
from core.media import SAMPLE_RATE, decode_audio, decode_image
from core.models import Model, ModelInfo, probabilities
from core.predictions import Predictions
from core.voice import analyze_voice, overall_logits
from core.voice.features import log_mel_spectrogram, mel_centres
from training import checks, fer2013, folders, voices
from training.files import DataSetError, locate
from training.measures import rounded, summary, unweighted_average_recall

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif"}
RECORDING_SUFFIXES = AUDIO_SUFFIXES | {".aac", ".aif", ".aiff", ".mkv", ".mov", ".mp4"}


@dataclass(frozen=True)
class Answers:
    """A model's logits, not yet calibrated, with the truth. `logits` (n, 7), `labels` (n,)."""

    logits: NDArray[np.float64]
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]
    """(n,): corpus of each example; empty strings where there are none."""
    ids: NDArray[np.str_]
    """(n,): its file: the path inside FER2013, `corpus/path` of a recording."""
    left_out: tuple[str, ...] = ()
    """What could not be read, and why."""

    def where(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Answers:
        """Those of a mask, or those of these numbers."""
        return Answers(self.logits[rows], self.labels[rows], self.groups[rows], self.ids[rows])


def face_answers(model: Model, data: Path, split: str) -> Answers:
    """On a split of FER2013; `test-distinct` is `test` less its copies of training images."""
    splits = fer2013.load(data)
    faces = splits["test" if split == "test-distinct" else split]
    if split == "test-distinct":
        faces = fer2013.without_copies_of(faces, splits["train"])
    logits = np.concatenate(
        [
            classify(faces.images[start : start + 128], model)[0]
            for start in range(0, len(faces), 128)
        ]
    )
    groups = np.full(len(faces), "")
    return Answers(logits, faces.labels, groups, np.array(faces.names), faces.left_out)


def voice_answers(model: Model, data: Path, split: str) -> Answers:
    """On the speakers of `validation` or `test`, all corpora.

    A clip that the app would refuse, for example because it finds no speech, is left out.
    """
    answers = clip_answers(model, data, [c for c in voices.clips(data) if c.split == split])
    if not len(answers.labels):
        raise DataSetError(f"No clip of the {split} speakers at {data} could be analysed.")
    return answers


def clip_answers(model: Model, data: Path, clips: Sequence[voices.Clip]) -> Answers:
    """On these clips, but for those that the app would refuse."""
    heard = voices.hear(data, list(clips))
    logits = [
        overall_logits(samples, segments, model) * model.info.temperature
        for samples, segments in zip(heard.samples, heard.segments, strict=True)
    ]
    return Answers(
        np.reshape(logits, (-1, len(EMOTIONS))),
        heard.labels,
        heard.corpora,
        np.array([f"{clip.corpus}/{clip.path}" for clip in heard.clips]),
        heard.left_out,
    )


def folder_answers(model: Model, data: Path, faces: FaceMode) -> Answers:
    """On class-named folders of images or recordings, each file analysed as the app would."""
    logits, labels, ids = [], [], []
    suffixes, others = IMAGE_SUFFIXES, RECORDING_SUFFIXES
    if model.info.task == "voice":
        suffixes, others = others, suffixes
    left_out = list(folders.passed_over(data, suffixes, others))
    for name, read, label in folders.examples(data, suffixes):
        try:
            content = read()
            if model.info.task == "face":
                picture = decode_image(content, name)
                emotion = analyze_faces(picture, model, faces=faces).faces[0].emotion
            else:
                emotion = analyze_voice(decode_audio(content, name), model).emotion
        except (DuetError, DataSetError) as error:
            left_out.append(f"{name}: {error}")
            continue
        logits.append(np.log(np.maximum(emotion.probabilities, 1e-12)) * model.info.temperature)
        labels.append(label)
        ids.append(name)
    if not labels:
        raise DataSetError(f"Nothing in {data} could be analysed. {left_out[0]}")
    groups = np.full(len(labels), "")
    return Answers(np.array(logits), np.array(labels), groups, np.array(ids), tuple(left_out))


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """The temperature with the least negative log-likelihood (Guo et al. 2017), by grid."""
    grid = np.exp(np.linspace(np.log(0.2), np.log(5), 400))
    rows = np.arange(len(labels))
    losses = [-np.log(probabilities(logits, t)[rows, labels] + 1e-12).mean() for t in grid]
    return round(float(grid[int(np.argmin(losses))]), 4)


def _summaries(answers: Answers, temperature: float, split: str) -> dict[str, Any]:
    """Of a split and of each corpus in it; intervals of voices are from drawing speakers anew."""
    corpora = [c for c in voices.CORPORA if (answers.groups == c).any()]
    parts = {split: answers}
    parts |= {f"{split}/{corpus}": answers.where(answers.groups == corpus) for corpus in corpora}
    return {
        name: summary(
            probabilities(part.logits, temperature),
            part.labels,
            np.array([voices.speaker_of(example) for example in part.ids]) if corpora else None,
        )
        for name, part in parts.items()
    }


def answers_by_split(
    model: Model, data: Path, split: str | None = None, faces: FaceMode = "cropped"
) -> dict[str, Answers]:
    """The model's answers on each split found at `data`, or on one of them.

    Raises
    ------
    DataSetError
        When there is no such split.
    """
    info = model.info
    known: dict[str, Callable[[], Answers]] = {"folder": lambda: folder_answers(model, data, faces)}
    if info.task == "face" and locate(data, "fer2013") is not None:
        names = ("validation", "test", "test-distinct")
        known = {name: partial(face_answers, model, data, name) for name in names}
    elif info.task == "voice" and any(locate(data, c) for c in voices.CORPORA):
        known = {name: partial(voice_answers, model, data, name) for name in ("validation", "test")}
        if split is None:  # TESS has no speaker to validate on
            spoken = {clip.split for clip in voices.clips(data)}
            known = {name: answer for name, answer in known.items() if name in spoken} or known
    if split is not None and split not in known:
        raise DataSetError(f"{data} has no split {split!r}; there are {', '.join(known)}.")
    return {name: answer() for name, answer in known.items() if split in (None, name)}


def evaluate(
    model: Model, data: Path, split: str | None = None, faces: FaceMode = "cropped"
) -> dict[str, Any]:
    """Splits -> measures (see `training.measures.summary`), on what is found at `data`."""
    report = judged(model.info, answers_by_split(model, data, split, faces))
    if model.info.task == "voice" and split is None and "test" in report["splits"]:
        report["corpus_or_emotion"] = corpus_or_emotion(model, data)
    return report


def judged(info: ModelInfo, answers: dict[str, Answers]) -> dict[str, Any]:
    """The measures of every split, calibrated as the model says.

    Raises
    ------
    DataSetError
        When a split holds fewer than two emotions.
    """
    splits: dict[str, Any] = {}
    for name, found in answers.items():
        missing = checks.missing_emotions(found.labels, f"The split {name}")
        splits.update(_summaries(found, info.temperature, name))
        if missing:
            splits[name]["missing"] = missing
        if found.left_out:
            splits[name]["left_out"] = list(found.left_out)
    return {"name": info.name, "model_sha256": info.sha256, "splits": splits}


def predictions(info: ModelInfo, answers: Answers) -> Predictions:
    """What each example was answered, for `predictions.npz`."""
    p = probabilities(answers.logits, info.temperature)
    return Predictions(answers.ids, answers.labels, p, answers.groups)


def corpus_or_emotion(model: Model, data: Path) -> dict[str, Any]:
    """Does the model read the corpus instead of the emotion? Clips in another corpus's sound.

    The mean spectrum of each test corpus (its microphone, room and coding) is taken off its
    clips and another corpus's put on. A model that leant on how a corpus sounds would lose its
    answers, and would call nothing that sounds like CREMA-D surprised, nor hear surprise in
    CREMA-D more often when it sounds like the others.

    Returns
    -------
    `recall`: corpus -> sound -> unweighted average recall; `surprise`: the same for the share of
    clips called surprise, for clips of surprise (`hit`) and of anything else (`false`).
    """
    heard = voices.hear(data, [c for c in voices.clips(data) if c.split == "test"])
    labels, corpus_of = heard.labels, heard.corpora
    corpora = [c for c in voices.CORPORA if (corpus_of == c).any()]
    means = np.stack([log_mel_spectrogram(s).mean(axis=0) for s in heard.samples])
    sound = {c: means[corpus_of == c].mean(axis=0) for c in corpora}
    recall: dict[str, dict[str, float]] = {}
    surprise: dict[str, dict[str, dict[str, float | None]]] = {}
    index = EMOTIONS.index("surprise")
    for corpus in corpora:
        rows = np.flatnonzero(corpus_of == corpus)
        recall[corpus], surprise[corpus] = {}, {}
        for other in corpora:
            change = sound[other] - sound[corpus]
            logits = [
                overall_logits(_coloured(heard.samples[i], change), heard.segments[i], model)
                for i in rows
            ]
            answers = np.argmax(logits, axis=1)
            recall[corpus][other] = rounded(unweighted_average_recall(labels[rows], answers))
            called, meant = answers == index, labels[rows] == index
            surprise[corpus][other] = {
                "hit": rounded(called[meant].mean()) if meant.any() else None,
                "false": rounded(called[~meant].mean()),
            }
    return {"recall": recall, "surprise": surprise}


def _coloured(samples: NDArray[np.float32], change_db: NDArray[np.float32]) -> NDArray[np.float32]:
    """Filter samples by a curve in dB over the mel bands, levelled to leave loudness alone."""
    spectrum = np.fft.rfft(samples)
    frequency = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    curve = np.interp(frequency, mel_centres(), change_db - change_db.mean())
    return np.fft.irfft(spectrum * 10 ** (curve / 20), len(samples)).astype(np.float32)


def headline(info: ModelInfo, report: dict[str, Any]) -> str:
    """The measures of every split in aligned lines."""
    lines = [f"{info.name}: {info.title}", ""]
    lines.append(f"{'split':22} {'n':>6}  {'accuracy (95%)':24} {'UAR':>6} {'F1':>6} {'ECE':>6}")
    for name, m in report["splits"].items():
        low, high = m["accuracy_95"]
        accuracy = f"{m['accuracy']:.1%} ({low:.1%} to {high:.1%})"
        lines.append(
            f"{name:22} {m['n']:6}  {accuracy:24} {m['unweighted_average_recall']:6.1%} "
            f"{m['macro_f1']:6.3f} {m['expected_calibration_error']:6.3f}"
        )
        if missing := m.get("missing"):
            lines.append(f"  no example of {', '.join(missing)}")
        if left_out := m.get("left_out"):
            lines.append(f"  left out: {len(left_out)}, the first of them {left_out[0]}")
    return "\n".join(lines)
