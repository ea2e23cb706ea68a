"""How well a model holds out when pictures and recordings get worse.

Seven ways of getting worse for pictures and five for voices, at five strengths each. A voice clip
in which the app finds no speech any more counts as answered wrongly, as nobody is helped by it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from core.errors import DuetError
from core.face.classify import classify
from core.labels import EMOTIONS
from core.media import Recording
from core.models import Model
from core.voice import find_speech, overall_logits
from core.voice.change import Samples, add_noise, mix_at
from core.voice.features import SAMPLE_RATE
from training import checks, fer2013, voices
from training.augment_voice import band_limit, reverberate
from training.files import DataSetError
from training.measures import bootstrap_interval, rounded

CLIPS_PER_CELL = 30
"""Recordings tried of each corpus and emotion."""
SEED = 7
"""By which faces, clips and voices in the babble are drawn."""
BABBLING = 6
"""Voices in the babble, all of them of training speakers."""

NO_ANSWER = -1
"""Stands for an emotion where the app finds no speech."""

T = TypeVar("T")
Random = np.random.Generator
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Corruption(Generic[T]):
    """One way of getting worse: the five strengths, and how each is called."""

    apply: Callable[[T, Any, Random], T]
    strengths: tuple[Any, ...]
    called: str
    """Format of a strength."""

    def settings(self) -> list[str]:
        return [self.called.format(strength) for strength in self.strengths]


def _noise(image: Image, deviation: float, rng: Random) -> Image:
    return np.clip(image + rng.normal(0, deviation, image.shape), 0, 255).astype(np.uint8)


def _blur(image: Image, deviation: float, _: Random) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), deviation), np.uint8)


def _jpeg(image: Image, quality: int, _: Random) -> Image:
    content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_GRAYSCALE), np.uint8)


def _darken(image: Image, factor: float, _: Random) -> Image:
    return np.round(image * factor).astype(np.uint8)


def _brighten(image: Image, factor: float, _: Random) -> Image:
    """As an overexposed picture: what is brighter than white becomes white."""
    return np.clip(np.round(np.float32(factor) * image), 0, 255).astype(np.uint8)


def _occlude(image: Image, share: float, rng: Random) -> Image:
    side = round(share * len(image))
    top, left = rng.integers(0, len(image) - side + 1, 2)
    covered = image.copy()
    covered[top : top + side, left : left + side] = 0
    return covered


def _shrink(image: Image, size: int, _: Random) -> Image:
    small = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, image.shape[::-1], interpolation=cv2.INTER_LINEAR))


FACE_CORRUPTIONS: dict[str, Corruption[Image]] = {
    "noise": Corruption(_noise, (5, 10, 20, 30, 45), "standard deviation {} of 255"),
    "blur": Corruption(_blur, (0.5, 1.0, 1.5, 2.0, 3.0), "standard deviation {} pixels of 48"),
    "JPEG": Corruption(_jpeg, (50, 30, 20, 10, 5), "quality {}"),
    "darkness": Corruption(_darken, (0.6, 0.4, 0.2, 0.1, 0.05), "brightness times {}"),
    "brightness": Corruption(_brighten, (1.25, 1.5, 2.0, 3.0, 4.0), "brightness times {}"),
    "occlusion": Corruption(_occlude, (0.2, 0.3, 0.4, 0.5, 0.6), "a square {} as wide as the face"),
    "low resolution": Corruption(_shrink, (36, 28, 20, 14, 10), "{0} x {0} pixels"),
}


def _white(samples: Samples, snr: float, rng: Random) -> Samples:
    return add_noise(samples, snr, 0.0, rng)


def _room(samples: Samples, seconds: float, rng: Random) -> Samples:
    return reverberate(samples, seconds, 1.0, rng)


def _band(samples: Samples, high: float, _: Random) -> Samples:
    return band_limit(samples, 100.0, high)


def _clip(samples: Samples, share: float, _: Random) -> Samples:
    limit = float(np.abs(samples).max()) * share
    return np.clip(samples, -limit, limit)


def voice_corruptions(babble: list[Samples]) -> dict[str, Corruption[Samples]]:
    """`babble` : recordings of which some talk in the background."""

    def talk(samples: Samples, snr: float, rng: Random) -> Samples:
        crowd = np.zeros(len(samples), np.float32)
        for number in rng.choice(len(babble), min(BABBLING, len(babble)), replace=False):
            voice = np.resize(babble[number], len(samples))
            crowd += np.roll(voice, rng.integers(len(samples))) / max(float(voice.std()), 1e-6)
        return mix_at(samples, crowd, snr)

    return {
        "noise": Corruption(_white, (30, 20, 15, 10, 5), "SNR {} dB"),
        "babble": Corruption(talk, (20, 15, 10, 5, 0), "SNR {} dB"),
        "reverberation": Corruption(_room, (0.2, 0.4, 0.7, 1.0, 1.5), "{} s to fall by 60 dB"),
        "band limit": Corruption(_band, (6000, 4000, 3000, 2000, 1200), "100 to {} Hz"),
        "clipping": Corruption(_clip, (0.5, 0.3, 0.2, 0.1, 0.05), "at {} of the peak"),
    }


def robustness(model: Model, data: Path, faces: int | None = None) -> dict[str, Any]:
    """What `robustness.json` holds.

    Parameters
    ----------
    faces : how many test faces at most, drawn at random, for a network that takes hours for all.

    Returns
    -------
    `clean` and, for each of `corruptions` at each of its five strengths: `accuracy`,
    `accuracy_95`, `unweighted_average_recall` and, for voices, `refused`, the share of clips left
    unanswered.
    `left_out` as `checks.noted`; `corpora` of voices; `drawn_from` how many faces, where not all
    were judged.

    Raises
    ------
    DataSetError
        When there is no test set at `data`, or fewer than two emotions in it.
    """
    of_faces = model.info.task == "face"
    some = f" --faces {faces}" if of_faces and faces else ""
    return {
        "split": "test",
        "command": f"python -m training report {model.info.name} --data PATH{some}",
        "model_sha256": model.info.sha256,
        **(_face_measures(model, data, faces) if of_faces else _voice_measures(model, data)),
    }


def _face_measures(model: Model, data: Path, most: int | None) -> dict[str, Any]:
    faces = fer2013.load(data)["test"]
    checks.told(faces.labels, faces.left_out, "FER2013's test")
    of_how_many: dict[str, int] = {}
    if most and most < len(faces):
        of_how_many = {"drawn_from": len(faces)}
        faces = fer2013.drawn(faces, most, SEED)
        checks.told(faces.labels, (), "What was drawn of FER2013's test")

    def measure(chosen: list[Image]) -> dict[str, Any]:
        stacked = np.stack(chosen)
        logits = [classify(stacked[i : i + 128], model)[0] for i in range(0, len(stacked), 128)]
        return _scores(faces.labels, np.concatenate(logits).argmax(axis=1))

    measured = _measures(list(faces.images), FACE_CORRUPTIONS, measure)
    return {**checks.noted(faces.left_out), **of_how_many, **measured}


def _voice_measures(model: Model, data: Path) -> dict[str, Any]:
    listed = voices.clips(data)
    clips = _spoken(listed, "test")
    if not clips:
        raise DataSetError(f"No clip of the test speakers at {data}.")
    rng = np.random.default_rng(SEED)
    cells: dict[tuple[str, str], list[voices.Clip]] = {}
    for i in rng.permutation(len(clips)):
        cells.setdefault((clips[i].corpus, clips[i].emotion), []).append(clips[i])
    heard = voices.hear(data, [c for cell in cells.values() for c in cell[:CLIPS_PER_CELL]])
    checks.told(heard.labels, heard.left_out, "The voices' test")
    training = _spoken(listed, "train")
    crowd = voices.hear(data, [training[i] for i in rng.permutation(len(training))[:60]])
    checks.told_left_out(crowd.left_out, "the voices in the babble")
    corruptions = voice_corruptions(crowd.samples)
    if not crowd.samples:  # what were called babble would be the clips as they are
        print("no voice of training speakers for the babble, which is not tried", flush=True)
        del corruptions["babble"]

    speakers = voices.speakers_of(heard.clips)

    def measure(chosen: list[Samples]) -> dict[str, Any]:
        answers = np.array([_answer(samples, model) for samples in chosen])
        return {
            **_scores(heard.labels, answers, speakers),
            "refused": rounded(np.mean(answers == NO_ANSWER)),
        }

    return {
        "corpora": [corpus for corpus in voices.CORPORA if corpus in heard.corpora],
        **checks.noted(heard.left_out),
        **_measures(heard.samples, corruptions, measure),
    }


def _spoken(listed: list[voices.Clip], split: str) -> list[voices.Clip]:
    """Clips of a split: of the corpora with several speakers, else of those that are there."""
    found = [clip for clip in listed if clip.split == split]
    return [clip for clip in found if clip.corpus in voices.SEVERAL_SPEAKERS] or found


def _answer(samples: Samples, model: Model) -> int:
    recording = Recording("", samples, SAMPLE_RATE, channels=1, clipped=0.0)
    try:
        return int(overall_logits(samples, find_speech(recording), model).argmax())
    except DuetError:
        return NO_ANSWER


def _scores(
    labels: NDArray[np.int64],
    answers: NDArray[np.int64],
    speakers: NDArray[np.str_] | None = None,
) -> dict[str, Any]:
    recall = [np.mean(answers[labels == e] == e) for e in range(len(EMOTIONS)) if e in labels]
    interval = bootstrap_interval(labels, answers, speakers=speakers)
    return {
        "accuracy": rounded(np.mean(answers == labels)),
        "accuracy_95": [rounded(end) for end in interval],
        "unweighted_average_recall": rounded(np.mean(recall)),
    }


def _measures(
    examples: list[T],
    corruptions: dict[str, Corruption[T]],
    measure: Callable[[list[T]], dict[str, Any]],
) -> dict[str, Any]:
    found: dict[str, list[dict[str, Any]]] = {}
    for name, corruption in corruptions.items():
        found[name] = []
        for number, strength in enumerate(corruption.strengths, 1):
            seed = [zlib.crc32(name.encode()), number]
            rng = np.random.default_rng(seed)
            worse = [corruption.apply(example, strength, rng) for example in examples]
            setting = corruption.settings()[number - 1]
            found[name].append({"strength": number, "setting": setting, **measure(worse)})
            print(f"{name}, {setting}: {found[name][-1]['accuracy']:.1%}", flush=True)
    return {"n": len(examples), "clean": measure(examples), "corruptions": found}
