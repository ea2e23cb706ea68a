"""From a recording to the emotion heard in it, over all of it and over time."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core import limits
from core.errors import DuetError
from core.labels import EMOTIONS
from core.media import Recording
from core.models import Model, probabilities
from core.results import Moment, Prediction, QualityNote, TimelinePoint, VoiceResult
from core.voice.activity import loudest_dbfs, speech_segments
from core.voice.features import SAMPLE_RATE
from core.voice.tensor import STEP_SECONDS, voice_input

CHUNK_SECONDS = 30.0
"""Longer recordings go through the network in equal pieces no longer than this."""

SPEECH_MARGIN_SECONDS = 1.0
"""Kept on each side of a stretch of speech. Breaths and fading words say much: without them an
earlier model answered 7 of 100 validation clips fewer rightly. Longer pauses have no say."""

WINDOW_SECONDS = 3.0
WINDOW_HOP_SECONDS = 0.5
MIN_WINDOW_SPEECH_SECONDS = 0.5
"""A window of the timeline with less speech than this says nothing."""

SHORTEST_MOMENT_SECONDS = 0.25
MOST_MOMENTS = 3

QUIET_DBFS = -40.0
CLIPPED_SHARE = 0.005
LITTLE_SPEECH_SECONDS = 1.0
NOISY_SNR_DB = 12.0
NARROW_BAND_RATE = 11_025


@dataclass(frozen=True)
class Evidence:
    """What the network says of each step of a recording.

    times : (steps,) middle of each step in seconds. scores : (steps, heads), unnormalised
    attention. evidence : (steps, heads, 7), calibrated (divided by the temperature) and centred
    over the emotions. spoken : (steps,) whether somebody speaks. chunk : (steps,) number of the
    piece of the recording that a step belongs to. step_seconds : how long a step is.
    """

    times: NDArray[np.float64]
    scores: NDArray[np.float64]
    evidence: NDArray[np.float64]
    spoken: NDArray[np.bool_]
    chunk: NDArray[np.int64]
    step_seconds: float = STEP_SECONDS

    def attention(self, steps: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(steps, heads): softmax of the scores over the chosen steps, 0 elsewhere."""
        weights = np.zeros_like(self.scores)
        weights[steps] = probabilities(self.scores[steps].T).T
        return weights

    def logits(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """(7,): evidence weighted by (steps, heads) attention, mean over heads."""
        return np.einsum("sh,shc->c", weights, self.evidence) / self.scores.shape[1]

    def overall_attention(self) -> NDArray[np.float64]:
        """(steps, heads): attention within each chunk, chunks weighing as they hold speech.

        Pauses get none. Sums to 1 a head.
        """
        weights = np.zeros_like(self.scores)
        for chunk in np.unique(self.chunk[self.spoken]):
            steps = self.spoken & (self.chunk == chunk)
            weights += self.attention(steps) * steps.sum()
        return weights / self.spoken.sum()


def gather_evidence(
    samples: NDArray[np.float32], segments: list[tuple[float, float]], model: Model
) -> Evidence:
    """Run the network over a recording from about its first to its last word, 30 s at once.

    Parameters
    ----------
    samples : float32 (n,) at 16 kHz. segments : (start, end) of each stretch of speech.
    """
    begin = max(0.0, segments[0][0] - SPEECH_MARGIN_SECONDS)
    end = segments[-1][1] + SPEECH_MARGIN_SECONDS
    span = samples[int(begin * SAMPLE_RATE) : math.ceil(end * SAMPLE_RATE)]
    pieces = max(1, math.ceil(len(span) / (CHUNK_SECONDS * SAMPLE_RATE)))
    prepared = voice_input(model.info)
    times, scores, evidence, chunk = [], [], [], []
    start = 0
    for number, piece in enumerate(np.array_split(span, pieces)):
        tensor, starts = prepared(piece)
        out = model(tensor)
        rows, steps, heads = out["scores"].shape
        offsets = begin + start / SAMPLE_RATE + starts[:, np.newaxis]
        times.append((offsets + (np.arange(steps) + 0.5) * prepared.step_seconds).ravel())
        scores.append(out["scores"].reshape(rows * steps, heads))
        evidence.append(out["evidence"].reshape(rows * steps, heads, len(EMOTIONS)))
        chunk.append(np.full(rows * steps, number))
        start += len(piece)
    calibrated = np.concatenate(evidence).astype(np.float64) / model.info.temperature
    middles = np.concatenate(times)
    spoken = np.zeros(len(middles), bool)
    for first_word, last_word in segments:
        spoken |= (middles >= first_word - SPEECH_MARGIN_SECONDS) & (
            middles < last_word + SPEECH_MARGIN_SECONDS
        )
    return Evidence(
        times=middles,
        scores=np.concatenate(scores).astype(np.float64),
        evidence=calibrated - calibrated.mean(axis=-1, keepdims=True),
        spoken=spoken if spoken.any() else ~spoken,
        chunk=np.concatenate(chunk),
        step_seconds=prepared.step_seconds,
    )


def overall_logits(
    samples: NDArray[np.float32], segments: list[tuple[float, float]], model: Model
) -> NDArray[np.float64]:
    """Calibrated logits (7,), those that `analyze_voice` answers with."""
    evidence = gather_evidence(samples, segments, model)
    return evidence.logits(evidence.overall_attention())


def analyze_voice(recording: Recording, model: Model) -> VoiceResult:
    """Find the speech in a recording and name its emotion.

    Raises
    ------
    DuetError
        `too_short`, `silent` or `no_speech`.
    """
    started = time.perf_counter()
    segments = find_speech(recording)
    found = time.perf_counter()
    evidence = gather_evidence(recording.samples, segments, model)
    weights = evidence.overall_attention()
    emotion = _prediction(evidence.logits(weights))
    timeline = _timeline(evidence, segments, emotion)
    moments = _moments(evidence, weights, emotion, segments, recording.duration)
    done = time.perf_counter()
    return VoiceResult(
        source=recording.source,
        duration=recording.duration,
        speech=tuple(segments),
        model=model.info.name,
        emotion=emotion,
        timeline=timeline,
        moments=moments,
        quality=_quality(recording, segments),
        attention_times=evidence.times.astype(np.float32),
        attention=weights.mean(axis=1).astype(np.float32),
        milliseconds={
            "activity": (found - started) * 1e3,
            "classify": (done - found) * 1e3,
        },
    )


def _prediction(logits: NDArray[np.float64]) -> Prediction:
    return Prediction(tuple(float(p) for p in probabilities(logits)))


def find_speech(recording: Recording) -> list[tuple[float, float]]:
    """(start, end) of each stretch of speech.

    Raises
    ------
    DuetError
        `too_short`, `silent` or `no_speech`.
    """
    if recording.duration < limits.MIN_AUDIO_SECONDS:
        raise DuetError(
            "too_short",
            f"The recording lasts {recording.duration:.2f} s; at least "
            f"{limits.MIN_AUDIO_SECONDS:g} s of speech are needed.",
        )
    if loudest_dbfs(recording.samples) < limits.SILENCE_DBFS:
        raise DuetError(
            "silent",
            "The recording is silent; record again with the microphone on, or choose another one.",
        )
    segments = speech_segments(recording.samples)
    if sum(end - start for start, end in segments) < limits.MIN_SPEECH_SECONDS:
        raise DuetError(
            "no_speech",
            "No speech was found in the recording; speak closer to the microphone, or choose a "
            "recording in which somebody speaks.",
        )
    return segments


def _overlap(segments: list[tuple[float, float]], start: float, end: float) -> float:
    return sum(max(0.0, min(end, b) - max(start, a)) for a, b in segments)


def _timeline(
    evidence: Evidence, segments: list[tuple[float, float]], emotion: Prediction
) -> tuple[TimelinePoint, ...]:
    begin, end = segments[0][0], segments[-1][1]
    if end - begin <= WINDOW_SECONDS:
        return (TimelinePoint(begin, end, emotion),)
    points = []
    count = math.ceil((end - begin - WINDOW_SECONDS) / WINDOW_HOP_SECONDS) + 1
    for i in range(count):
        start = begin + i * WINDOW_HOP_SECONDS
        stop = min(start + WINDOW_SECONDS, end)
        steps = evidence.spoken & (evidence.times >= start) & (evidence.times < stop)
        heard = _overlap(segments, start, stop) >= MIN_WINDOW_SPEECH_SECONDS and steps.any()
        answer = _prediction(evidence.logits(evidence.attention(steps))) if heard else None
        points.append(TimelinePoint(start, stop, answer))
    return tuple(points)


def _moments(
    evidence: Evidence,
    weights: NDArray[np.float64],
    emotion: Prediction,
    segments: list[tuple[float, float]],
    duration: float,
) -> tuple[Moment, ...]:
    """Stretches with more attention than an even spread would give them, widened to 0.25 s.

    None where a network attends to everything alike. `duration` : of the recording, in seconds;
    at its edges a widened stretch is shifted inward.
    """
    if not np.ptp(evidence.scores, axis=0).any():
        return ()
    begin = max(0.0, segments[0][0] - SPEECH_MARGIN_SECONDS)
    end = min(duration, segments[-1][1] + SPEECH_MARGIN_SECONDS)
    attention = weights.mean(axis=1)
    for_answer = evidence.evidence[..., EMOTIONS.index(emotion.label)]
    contribution = (weights * for_answer).sum(axis=1) / weights.shape[1]
    strong = attention >= 1 / evidence.spoken.sum()
    edges = np.flatnonzero(np.diff(np.r_[False, strong, False].astype(int)))
    found = []
    for first, last in edges.reshape(-1, 2):
        start = max(begin, evidence.times[first] - evidence.step_seconds / 2)
        stop = min(end, evidence.times[last - 1] + evidence.step_seconds / 2)
        missing = max(0.0, SHORTEST_MOMENT_SECONDS - (stop - start)) / 2
        found.append(
            Moment(
                start=float(max(begin, min(start - missing, end - SHORTEST_MOMENT_SECONDS))),
                end=float(min(end, max(stop + missing, begin + SHORTEST_MOMENT_SECONDS))),
                share=float(attention[first:last].sum()),
                contribution=float(contribution[first:last].sum()),
            )
        )
    found.sort(key=lambda moment: -moment.share)
    return tuple(found[:MOST_MOMENTS])


def _quality(recording: Recording, segments: list[tuple[float, float]]) -> tuple[QualityNote, ...]:
    notes = []
    if loudest_dbfs(recording.samples) < QUIET_DBFS:
        notes.append(QualityNote("quiet", "The speech is very quiet."))
    if recording.clipped > CLIPPED_SHARE:
        notes.append(QualityNote("clipped", "The recording is overdriven: its peaks are cut off."))
    if sum(end - start for start, end in segments) < LITTLE_SPEECH_SECONDS:
        notes.append(QualityNote("little_speech", "There is less than a second of speech."))
    if recording.original_rate < NARROW_BAND_RATE:
        notes.append(
            QualityNote("narrow_band", "Telephone quality: the higher frequencies are missing.")
        )
    ratio = _signal_to_noise_db(recording.samples, segments)
    if ratio is not None and ratio < NOISY_SNR_DB:
        level = round(ratio)
        apart = f"{abs(level)} dB {'above' if level < 0 else 'below'} speech"
        notes.append(QualityNote("noisy", f"The background is loud ({apart})."))
    return tuple(notes)


def _signal_to_noise_db(
    samples: NDArray[np.float32], segments: list[tuple[float, float]]
) -> float | None:
    """Level of the speech over that of the rest, in dB; None when there is too little rest."""
    speech = np.zeros(len(samples), bool)
    for start, end in segments:
        speech[int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)] = True
    if (~speech).sum() < 0.2 * SAMPLE_RATE or not speech.any():
        return None
    signal, noise = (float(np.mean(np.square(samples[m]))) for m in (speech, ~speech))
    return 10 * math.log10(max(signal, 1e-12) / max(noise, 1e-12))
