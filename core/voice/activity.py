"""Where somebody speaks in a recording: voice activity detection by signal processing alone.

Frames that stand out from the floor around them are active. Active stretches less than a second
apart are judged together, in one of two ways. Voiced speech: a harmonic spectrum whose pitch
glides, whose spectral shape changes and whose level rises and falls with the syllables. Whispered
speech: no pitch, but vowels and fricatives that take turns at the two ends of the spectrum, where
breath, wind and rustling rise and fall as a whole. Accepted stretches are trimmed to the
neighbourhood of their vowels, joined over short pauses and padded.

Measured on a second random draw of 300 clips each of RAVDESS, CREMA-D, TESS and SAVEE (thresholds
were chosen on a first draw; the two share about a tenth of CREMA-D's and TESS's clips, a fifth of
RAVDESS's, most of SAVEE's): speech found in all 1,200; of the frames within 25 dB of the loudest
and well above the floor, the median clip has all inside the segments, the tenth percentile 96% or
more. 240 of the clips altered, second draw (first draw): white noise at 10 dB 100% (99%), pink
99.6% (99%), brown 100% (100%), pink at 5 dB 98.8% (97.1%), telephone band 100% (100%), clipped by
18 dB 98.8% (97.9%), peak at -46 dBFS 100% (100%), played 1.6 times faster 100% (100%), 1.25 times
slower 100% (99.2%), whispered (excitation replaced by noise) 96.7% (96.7%).
Of sounds like those in tests/test_activity.py, 0.8 to 4 s long, peak -50 to -3 dBFS, 300 draws of
each kind were used to choose thresholds; speech was found in at most 0.7% of any kind (sweeps). In
40 fresh draws of each of the test's 14 kinds it was found in none.
Singing and laughing voices count as speech, and recorded
music can be taken for it: telling these apart needs a trained network.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from core.voice.spectrum import FilterBank, inverse_of_real_spectrum, power_spectrum

SAMPLE_RATE = 16_000
"""Hz; the rate that every recording is decoded to."""

FRAME = 640
"""Samples, 40 ms: nearly three periods of the lowest pitch."""

HOP = 160
"""Samples, 10 ms."""

FFT_SIZE = 1024
"""Frame plus longest pitch period, rounded up, so that the autocorrelation does not wrap."""

LOUDNESS_FRAME = 400
"""Samples, 25 ms: the frame that `core.limits.SILENCE_DBFS` speaks of."""

CHUNK_FRAMES = 1024
"""Frames transformed at once: about 10 MB of work memory however long the recording."""

# --- Which frames are loud enough -------------------------------------------------------------

BAND_EDGES = (100, 300, 500, 750, 1000, 1400, 1900, 2500, 3200, 4000, 5500, 7500)
"""Hz; about a critical band each up to 2.5 kHz, wider above."""

LOW_BANDS = slice(1, 5)
"""300 to 1400 Hz: where vowels are strongest, whispered ones too."""

HIGH_BANDS = slice(8, 11)
"""3.2 to 7.5 kHz: where fricatives are strongest."""

ABSOLUTE_FLOOR_DBFS = -75.0
"""Quieter frames are silence whatever surrounds them; near the rounding noise of 16 bits."""

LEVEL_BLOCK = 1000
"""Frames, 10 s: floor and peak of the level are taken over this long and follow the room."""

FLOOR_PERCENTILE = 10.0
ABOVE_FLOOR_DB = 6.0
BELOW_PEAK_DB = 35.0
"""Reverberation and breath lie lower than this under the loudest vowel."""
NEAR_PEAK_DB = 15.0
"""Frames this near to the peak are active even if no pause ever showed the floor."""

# --- Which frames are voiced ------------------------------------------------------------------

PITCH_RANGE = (70.0, 500.0)
"""Hz: from deep male creak to a woman's surprise."""

HARMONICITY = 0.25
"""Of the compressed autocorrelation: below 0.2 in white and pink noise, above 0.3 in vowels at a
signal-to-noise ratio of 10 dB."""

LONG_LAG_PENALTY = 0.0008
"""A lag of 8 kHz samples costs this share, so that the first of several equal peaks wins."""

PITCH_STEP = 1.2
"""Semitones in 10 ms: a voice glides, the pitch found in noise jumps."""

VOICED_RUN = 5
"""Frames with gliding pitch in a row that make a voiced stretch."""

# --- What makes speech of them ----------------------------------------------------------------

JOIN_SECONDS = 0.3
"""Shorter pauses belong to the speech: stop consonants and gaps between words."""

PAD_SECONDS = 0.1
"""Added on both sides: soft onsets and endings below the threshold."""

GROW_SECONDS = 0.3
"""The longest unvoiced stretch next to a vowel that is still part of a word (fricatives)."""

GROUP_SECONDS = 1.0
"""Stretches nearer than this are judged together, so that a short word is not alone."""

TONAL_BANDS = 5
"""Spread is measured from the strongest band to this one in order of strength."""

MIN_VOICED_FRAMES = 10
"""0.1 s: a short vowel. Brown noise in a window of 3 s reaches 9 by chance."""
GLIDE = 0.1
"""Semitones in 30 ms: more is a moving pitch. Hum, chords and played notes stay below."""
MIN_GLIDING = 0.35
"""Share of voiced frames with moving pitch; nearly all recorded speech has 0.5 or more."""
MIN_SHAPE_CHANGE_DB = 1.35
"""In voiced frames. Steady noise and engines have 1.2, speech at 10 dB 1.3 to 5."""
MAX_SPREAD_DB = 34.0
"""In voiced frames. Pure tones have 50, sweeps 29 and more, voices 32 at most."""
MIN_LEVEL_CHANGE_DB = 2.0
"""Standard deviation of the level of active frames: syllables. Sirens have 1 or less."""
MIN_TILT_CHANGE_DB = 2.0
"""Knocking on wood has 1.3, speech at least 2.8."""
MAX_BAND_CORRELATION = 0.88
"""The partials of a struck chord die away together (0.91 to 1.0); even clipped speech has less."""

WHISPER_MAX_VOICED = 0.35
"""Share of voiced frames; with more of them the pitch decides."""
WHISPER_RUN = 10
"""Frames: a whispered sound lasts this long, a click half of it."""
WHISPER_MIN_FRAMES = 40
"""Active frames, 0.4 s."""
WHISPER_MIN_LASTING_FRAMES = 30
"""Active frames in runs of `WHISPER_RUN` or more."""
WHISPER_MIN_SHAPE_CHANGE_DB = 3.0
"""In active frames. Breath reaches 3.5 by its level alone, but its bands move together."""
WHISPER_MAX_SPREAD_DB = 28.0
WHISPER_MIN_LEVEL_CHANGE_DB = 2.5
WHISPER_MAX_BAND_CORRELATION = 0.75
"""Breath, wind and rustling: 0.85 to 1."""
WHISPER_MAX_ENDS_CORRELATION = 0.88
"""Between the low and the high end of the spectrum: vowels and fricatives take turns."""
WHISPER_MIN_ENDS_CHANGE_DB = 2.0
"""Both ends move by at least this."""
WHISPER_MIN_TILT_CHANGE_DB = 3.5

MOVING_BAND_DB = 2.0
"""Bands whose level varies less than this say nothing about correlation."""

BAND_RANGE_DB = 45.0
"""Band levels further below the strongest count as this far: nothing is heard there."""

SMOOTHING = 5
"""Frames over which band powers are averaged before shapes are compared: it takes noise's own
scatter from 1.5 dB to below 0.9 dB."""

_POWER_FLOOR = 1e-12
_FREQUENCIES = np.fft.rfftfreq(FFT_SIZE, 1 / SAMPLE_RATE)
_WINDOW = np.hanning(FRAME + 1)[:-1].astype(np.float32)
_edges = np.array(BAND_EDGES)
_column = _FREQUENCIES[:, np.newaxis]
_BANDS = FilterBank.of(
    ((_column >= _edges[:-1]) & (_column < _edges[1:]))
    * (2 / (FFT_SIZE * float((_WINDOW**2).sum())))  # powers sum to the mean square
)

# Pitch is sought below 4 kHz: half of the spectrum gives the autocorrelation at half the rate.
_PITCH_RATE = SAMPLE_RATE // 2
_PITCH_BINS = FFT_SIZE // 4 + 1
_LAGS = np.arange(int(_PITCH_RATE / PITCH_RANGE[1]), int(_PITCH_RATE / PITCH_RANGE[0]) + 1)
_HEARD = (_FREQUENCIES[:_PITCH_BINS] >= 60).astype(np.float32)
_WINDOW_AUTOCORRELATION = np.fft.irfft(np.abs(np.fft.rfft(_WINDOW, 2 * FRAME)) ** 2)[::2]
_CORRECTION = (_WINDOW_AUTOCORRELATION[0] / _WINDOW_AUTOCORRELATION)[
    _LAGS[0] - 1 : _LAGS[-1] + 2
].astype(np.float32)
_LAG_WEIGHT = (1 - LONG_LAG_PENALTY * _LAGS).astype(np.float32)


@dataclass(frozen=True)
class _Frames:
    """What is measured of every 40 ms frame, one each 10 ms."""

    bands: NDArray[np.float32]
    """(n, 11): power in each band, relative to full scale."""
    level: NDArray[np.float32]
    """(n,): dBFS from 100 to 7500 Hz."""
    harmonicity: NDArray[np.float32]
    """(n,): 0 to 1."""
    pitch: NDArray[np.float32]
    """(n,): semitones above 1 Hz; of meaning where harmonicity is high."""


def loudest_dbfs(samples: NDArray[np.floating]) -> float:
    """Level of the loudest 25 ms, to tell a silent recording from one without speech.

    Parameters
    ----------
    samples : float array, (n,), 16 kHz, full scale 1

    Returns
    -------
    float
        Root mean square of the loudest 25 ms frame in dB below full scale (all of the recording
        where it is shorter), its mean removed; -inf for silence.
    """
    clean = _clean(samples)
    if clean.size == 0:
        return -np.inf
    length = min(LOUDNESS_FRAME, clean.size)
    whole = clean[: clean.size // length * length].reshape(-1, length)
    variance = float(np.var(whole, axis=1, dtype=np.float64).max())
    return 10 * float(np.log10(variance)) if variance > _POWER_FLOOR else -np.inf


def speech_segments(
    samples: NDArray[np.floating], sample_rate: int = SAMPLE_RATE
) -> list[tuple[float, float]]:
    """Find the stretches of human speech.

    Parameters
    ----------
    samples : float array, (n,), full scale 1
        Values beyond full scale are clipped, those that are not numbers count as silence.
    sample_rate : int
        Hz; only `SAMPLE_RATE`.

    Returns
    -------
    list of (start, end)
        Seconds, in order, apart by `JOIN_SECONDS` or more, within the recording; empty when
        nobody speaks.

    Raises
    ------
    ValueError
        For another rate or shape.
    """
    if sample_rate != SAMPLE_RATE or np.ndim(samples) != 1:
        raise ValueError(f"expected (n,) at {SAMPLE_RATE} Hz")
    clean = _clean(samples)
    if clean.size < FRAME:
        return []
    frames = _measure(clean)
    active = _active(frames.level)
    voiced, gliding = _voiced(frames, active)
    shape = _smoothed_levels(frames.bands)

    runs: list[tuple[int, int]] = []
    for group in _groups(_runs(active), GROUP_SECONDS):
        here = slice(group[0][0], group[-1][1])
        evidence = _weigh(
            shape[here], frames.level[here], active[here], voiced[here], gliding[here]
        )
        if evidence.voiced_speech:
            kept = _runs(active[here] & _near(voiced[here]))
            runs += [(here.start + start, here.start + end) for start, end in kept]
        elif evidence.whispered_speech:
            runs += group
    return _to_seconds(runs, clean.size)


def _clean(samples: NDArray[np.floating]) -> NDArray[np.float32]:
    """Float32 in [-1, 1], without what is no number; the samples themselves if they are that.

    Not to be written to.
    """
    samples = np.asarray(samples)
    if samples.dtype == np.float32 and samples.max(initial=0) <= 1 and samples.min(initial=0) >= -1:
        return samples  # NaN would have been the largest
    finite = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0)
    return np.clip(finite, -1.0, 1.0).astype(np.float32)


def _measure(samples: NDArray[np.float32]) -> _Frames:
    windows = sliding_window_view(samples, FRAME)[::HOP]
    count = len(windows)
    bands = np.empty((count, len(BAND_EDGES) - 1), np.float32)
    harmonicity = np.empty(count, np.float32)
    pitch = np.empty(count, np.float32)
    for start in range(0, count, CHUNK_FRAMES):
        chunk = slice(start, start + CHUNK_FRAMES)
        frames = windows[chunk] - windows[chunk].mean(axis=1, keepdims=True)
        power = power_spectrum(frames, _WINDOW, FFT_SIZE)
        bands[chunk] = _BANDS(power)
        harmonicity[chunk], pitch[chunk] = _harmonicity(np.sqrt(power[:, :_PITCH_BINS]) * _HEARD)
    level = 10 * np.log10(bands.sum(axis=1) + _POWER_FLOOR)
    return _Frames(bands, level, harmonicity, pitch)


def _harmonicity(
    magnitude: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Height and place of the strongest autocorrelation peak in the pitch range.

    The spectrum is compressed (magnitude, not power), so that a few strong partials or the low
    end of brown noise do not pass for a whole harmonic series (Tolonen and Karjalainen, 2000).
    The taper of the window is divided out (Boersma, 1993).
    """
    correlation = inverse_of_real_spectrum(magnitude)
    near = correlation[:, _LAGS[0] - 1 : _LAGS[-1] + 2] * _CORRECTION
    near /= correlation[:, :1] + _POWER_FLOOR
    left, middle, right = near[:, :-2], near[:, 1:-1], near[:, 2:]
    peaks = np.where((middle >= left) & (middle > right), middle * _LAG_WEIGHT, 0.0)
    best = peaks.argmax(axis=1)
    row = np.arange(len(best))
    a, b, c = left[row, best], middle[row, best], right[row, best]
    found = peaks[row, best] > 0
    curvature = np.where(found, a - 2 * b + c, -1.0)
    offset = np.clip(0.5 * (a - c) / np.minimum(curvature, -1e-6), -0.5, 0.5)
    pitch = 12 * np.log2(_PITCH_RATE / (_LAGS[best] + offset))
    return np.where(found, np.clip(b, 0, 1), 0), pitch


def _active(level: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Frames that stand out from the floor around them."""
    starts = np.arange(0, max(len(level) - LEVEL_BLOCK, 0) + 1, LEVEL_BLOCK // 2)
    blocks = [level[s : s + LEVEL_BLOCK] for s in starts]
    blocks[-1] = level[starts[-1] :]
    floor = np.array([np.percentile(block, FLOOR_PERCENTILE) for block in blocks])
    peak = np.array([block.max() for block in blocks])
    threshold = np.maximum(floor + ABOVE_FLOOR_DB, peak - BELOW_PEAK_DB)
    threshold = np.maximum(np.minimum(threshold, peak - NEAR_PEAK_DB), ABSOLUTE_FLOOR_DBFS)
    centres = starts + LEVEL_BLOCK / 2
    return level > np.interp(np.arange(len(level)), centres, threshold)


def _voiced(
    frames: _Frames, active: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Frames in voiced stretches, and whether the pitch moves there (NaN where unknown)."""
    harmonic = active & (frames.harmonicity > HARMONICITY)
    step = np.abs(np.diff(frames.pitch, prepend=frames.pitch[0]))
    linked = harmonic & np.roll(harmonic, 1) & (step < PITCH_STEP)
    linked[0] = False
    voiced = np.zeros(len(active), bool)
    glide = np.full(len(active), np.nan, np.float32)
    for start, end in _runs(linked):
        if end - start >= VOICED_RUN - 1:
            voiced[start - 1 : end] = True
            glide[start + 2 : end] = (
                np.abs(frames.pitch[start + 2 : end] - frames.pitch[start - 1 : end - 3]) > GLIDE
            )
    return voiced, glide


def _smoothed_levels(bands: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, 11) band levels in dB, each averaged over `SMOOTHING` frames."""
    half = SMOOTHING // 2
    padded = np.pad(bands, ((half, half), (0, 0)), mode="edge")
    count = len(bands)
    mean = sum(padded[k : k + count] for k in range(SMOOTHING)) / SMOOTHING
    return 10 * np.log10(mean + _POWER_FLOOR)


@dataclass(frozen=True)
class _Evidence:
    """What tells speech from other sounds in a group of active stretches.

    Changes are standard deviations over time in dB.
    """

    active_frames: int
    lasting_frames: int
    """Active frames in runs of `WHISPER_RUN` or more."""
    voiced_frames: int
    gliding: float
    """Share of voiced frames with moving pitch."""
    level_change: float
    shape_change: float
    """Of band levels without their common level, mean over bands."""
    voiced_shape_change: float
    spread: float
    """Median of the strongest band's level over that of the fifth."""
    voiced_spread: float
    band_correlation: float
    """Mean over pairs of moving bands; 1 where fewer than two move."""
    ends_change: float
    """Of the low and of the high end of the spectrum: the smaller."""
    ends_correlation: float
    tilt_change: float
    """Of the high end's level over the low end's."""

    @property
    def voiced_speech(self) -> bool:
        return (
            self.voiced_frames >= MIN_VOICED_FRAMES
            and self.gliding >= MIN_GLIDING
            and self.voiced_shape_change >= MIN_SHAPE_CHANGE_DB
            and self.voiced_spread <= MAX_SPREAD_DB
            and self.level_change >= MIN_LEVEL_CHANGE_DB
            and self.tilt_change >= MIN_TILT_CHANGE_DB
            and self.band_correlation <= MAX_BAND_CORRELATION
        )

    @property
    def whispered_speech(self) -> bool:
        return (
            self.voiced_frames <= WHISPER_MAX_VOICED * self.active_frames
            and self.active_frames >= WHISPER_MIN_FRAMES
            and self.lasting_frames >= WHISPER_MIN_LASTING_FRAMES
            and self.shape_change >= WHISPER_MIN_SHAPE_CHANGE_DB
            and self.spread <= WHISPER_MAX_SPREAD_DB
            and self.level_change >= WHISPER_MIN_LEVEL_CHANGE_DB
            and self.band_correlation <= WHISPER_MAX_BAND_CORRELATION
            and self.ends_correlation <= WHISPER_MAX_ENDS_CORRELATION
            and self.ends_change >= WHISPER_MIN_ENDS_CHANGE_DB
            and self.tilt_change >= WHISPER_MIN_TILT_CHANGE_DB
        )


def _weigh(
    shape: NDArray[np.float32],
    level: NDArray[np.float32],
    active: NDArray[np.bool_],
    voiced: NDArray[np.bool_],
    gliding: NDArray[np.float32],
) -> _Evidence:
    """Evidence for speech in consecutive frames, at least one of them active."""
    floor = shape[active].max() - BAND_RANGE_DB
    heard = np.maximum(shape[active], floor)
    vowels = np.maximum(shape[voiced], floor) if voiced.any() else heard
    low, high = heard[:, LOW_BANDS].max(axis=1), heard[:, HIGH_BANDS].max(axis=1)
    known = ~np.isnan(gliding)
    lengths = [end - start for start, end in _runs(active)]
    return _Evidence(
        active_frames=len(heard),
        lasting_frames=sum(length for length in lengths if length >= WHISPER_RUN),
        voiced_frames=int(voiced.sum()),
        gliding=float(gliding[known].mean()) if known.any() else 0.0,
        level_change=float(level[active].std()),
        shape_change=_shape_change(heard),
        voiced_shape_change=_shape_change(vowels),
        spread=_spread(heard),
        voiced_spread=_spread(vowels),
        band_correlation=_mean_correlation(heard[:, heard.std(axis=0) > MOVING_BAND_DB]),
        ends_change=float(min(low.std(), high.std())),
        ends_correlation=_mean_correlation(np.stack([low, high], axis=1)),
        tilt_change=float((high - low).std()),
    )


def _shape_change(levels: NDArray[np.float32]) -> float:
    return float((levels - levels.mean(axis=1, keepdims=True)).std(axis=0).mean())


def _spread(levels: NDArray[np.float32]) -> float:
    ordered = np.sort(levels, axis=1)
    return float(np.median(ordered[:, -1] - ordered[:, -TONAL_BANDS]))


def _mean_correlation(levels: NDArray[np.float32]) -> float:
    """Mean Pearson correlation over pairs of columns; 1 where there is no pair that moves."""
    deviations = levels - levels.mean(axis=0)
    norms = np.sqrt(np.square(deviations).sum(axis=0))
    columns = levels.shape[1]
    if columns < 2 or norms.min() < 1e-3:
        return 1.0
    unit = deviations / norms
    return float((np.square(unit.sum(axis=1)).sum() - columns) / (columns * (columns - 1)))


def _near(voiced: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Frames within `GROW_SECONDS` of a voiced one."""
    reach = int(GROW_SECONDS * SAMPLE_RATE / HOP)
    near = np.zeros(len(voiced), bool)
    for start, end in _runs(voiced):
        near[max(start - reach, 0) : end + reach] = True
    return near


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(start, end) of each stretch of true, end exclusive."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _groups(runs: list[tuple[int, int]], seconds: float) -> list[list[tuple[int, int]]]:
    """Runs of frames that lie nearer to each other than `seconds`."""
    gap = seconds * SAMPLE_RATE / HOP
    groups: list[list[tuple[int, int]]] = []
    for run in runs:
        if groups and run[0] - groups[-1][-1][1] < gap:
            groups[-1].append(run)
        else:
            groups.append([run])
    return groups


def _to_seconds(runs: list[tuple[int, int]], length: int) -> list[tuple[float, float]]:
    """Join over short pauses, pad, and turn frames into seconds within the recording."""
    segments: list[tuple[float, float]] = []
    middle = FRAME / 2
    for group in _groups(runs, JOIN_SECONDS):
        start = (group[0][0] * HOP + middle) / SAMPLE_RATE - PAD_SECONDS
        end = ((group[-1][1] - 1) * HOP + middle) / SAMPLE_RATE + PAD_SECONDS
        segments.append((max(start, 0.0), min(end, length / SAMPLE_RATE)))
    return segments


@dataclass(frozen=True)
class Prosody:
    """Loudness and pitch of every 40 ms frame of a recording, one each 10 ms."""

    level: NDArray[np.float32]
    """(n,): dBFS from 100 to 7500 Hz."""
    active: NDArray[np.bool_]
    """(n,): whether the frame stands out from the noise around it."""
    pitch: NDArray[np.float32]
    """(n,): Hz; NaN where nothing is voiced."""


def prosody(samples: NDArray[np.floating]) -> Prosody:
    """Loudness and pitch over time, by the autocorrelation that also finds the speech.

    Parameters
    ----------
    samples : float array, (n,), 16 kHz, full scale 1

    Returns
    -------
    Prosody
        Without any frame for a recording shorter than 40 ms.
    """
    clean = _clean(samples)
    if clean.size < FRAME:
        return Prosody(*(np.empty(0, kind) for kind in (np.float32, bool, np.float32)))
    frames = _measure(clean)
    active = _active(frames.level)
    voiced, _ = _voiced(frames, active)
    pitch = np.where(voiced, 2.0 ** (frames.pitch / 12), np.nan).astype(np.float32)
    return Prosody(frames.level, active, pitch)
