"""Speech is found, trimmed and joined; what is not speech is refused."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from core.voice import activity
from core.voice.activity import loudest_dbfs, speech_segments

RATE = activity.SAMPLE_RATE
LENGTH = 2 * RATE
TIME = np.arange(LENGTH) / RATE

Wave = NDArray[np.float64]
Maker = Callable[[np.random.Generator], Wave]


def band_noise(
    rng: np.random.Generator, slope: float = 0.0, low: float = 0.0, high: float = 8000.0
) -> Wave:
    """Gaussian noise whose power falls with frequency to the power `slope`."""
    frequency = np.fft.rfftfreq(LENGTH, 1 / RATE)
    shape = np.maximum(frequency, 20) ** (-slope / 2)
    shape *= (frequency >= low) & (frequency <= high)
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(LENGTH)) * shape, LENGTH)
    return noise / noise.std()


def hiss(rng: np.random.Generator, low_db: float = 20, high_db: float = 80) -> Wave:
    return 10 ** (-rng.uniform(low_db, high_db) / 20) * rng.standard_normal(LENGTH)


def partials(rng: np.random.Generator, phase: Wave, count: int, fall: float) -> Wave:
    """Harmonics of a running phase with random offsets, amplitudes falling as n to -fall."""
    return sum(
        (np.sin(n * phase + rng.uniform(0, 2 * np.pi)) * n**-fall for n in range(1, count + 1)),
        np.zeros_like(phase),
    )


def repeated(rng: np.random.Generator, rate: float, event: Callable[[], Wave]) -> Wave:
    """Events at irregular moments, `rate` a second."""
    wave = np.zeros(LENGTH)
    at = 0
    while (at := at + int(RATE / rate * rng.uniform(0.5, 1.5))) < LENGTH:
        sound = event()[: LENGTH - at]
        wave[at : at + len(sound)] += sound * rng.uniform(0.3, 1)
    return wave


def hum(rng: np.random.Generator) -> Wave:
    phase = 2 * np.pi * rng.choice([50, 60, 100, 120]) * rng.uniform(0.998, 1.002) * TIME
    return partials(rng, phase, int(rng.integers(1, 30)), rng.uniform(0.3, 2)) + hiss(rng)


def tone(rng: np.random.Generator) -> Wave:
    return np.sin(2 * np.pi * np.exp(rng.uniform(np.log(60), np.log(7000))) * TIME) + hiss(rng)


def sweep(rng: np.random.Generator) -> Wave:
    first, last = np.exp(rng.uniform(np.log(60), np.log(6000), 2))
    ratio = (last / first) ** (RATE / LENGTH)
    return np.sin(2 * np.pi * first * (ratio**TIME - 1) / np.log(ratio)) + hiss(rng)


def chord(rng: np.random.Generator) -> Wave:
    root, fall = rng.uniform(80, 500), rng.uniform(0.5, 2.5)
    count = int(rng.integers(1, 8))
    wave = np.zeros(LENGTH)
    for step in rng.choice([0, 3, 4, 7, 10, 11, 12], 3, replace=False):
        wave += partials(rng, 2 * np.pi * root * 2 ** (step / 12) * TIME, count, fall)
    return wave * np.exp(-TIME * rng.choice([0, rng.uniform(0, 3)])) + hiss(rng)


def clicks(rng: np.random.Generator) -> Wave:
    return repeated(
        rng, rng.uniform(1, 12), lambda: rng.standard_normal(rng.integers(1, 60))
    ) + hiss(rng, 30)


def dial_tones(rng: np.random.Generator) -> Wave:
    on, off = (int(RATE * seconds) for seconds in rng.uniform([0.05, 0.03], [0.3, 0.2]))
    wave = np.zeros(LENGTH)
    for start in range(0, LENGTH, on + off):
        time = TIME[: min(on, LENGTH - start)]
        for row in ([697, 770, 852, 941], [1209, 1336, 1477, 1633]):
            wave[start : start + len(time)] += np.sin(2 * np.pi * rng.choice(row) * time)
    return wave + hiss(rng, 30)


def tapping(rng: np.random.Generator) -> Wave:
    frequency, decay = rng.uniform(60, 1500), rng.uniform(0.004, 0.04)
    time = TIME[: int(0.15 * RATE)]

    def tap() -> Wave:
        wood = np.sin(2 * np.pi * frequency * rng.uniform(0.9, 1.1) * time)
        wood += 0.5 * np.sin(2 * np.pi * frequency * rng.uniform(1.3, 3) * time)
        return np.exp(-time / decay) * (wood + 0.5 * rng.standard_normal(len(time)))

    return repeated(rng, rng.uniform(1, 8), tap) + hiss(rng, 25)


def breath(rng: np.random.Generator) -> Wave:
    low = rng.uniform(100, 1000)
    noise = band_noise(rng, rng.uniform(0, 1.5), low, low + rng.uniform(500, 4000))
    cycle = np.sin(2 * np.pi * rng.uniform(0.3, 1.2) * TIME + rng.uniform(0, 2 * np.pi))
    return noise * np.maximum(cycle, 0) ** rng.uniform(0.5, 2) + hiss(rng, 30, 60)


def throbbing_noise(rng: np.random.Generator) -> Wave:
    beat = np.sin(2 * np.pi * rng.uniform(1, 10) * TIME)
    return band_noise(rng, rng.uniform(0, 2)) * (1 + rng.uniform(0.3, 1) * beat)


def siren(rng: np.random.Generator) -> Wave:
    swing = rng.uniform(0.02, 0.5) * np.sin(2 * np.pi * rng.uniform(0.2, 8) * TIME)
    phase = 2 * np.pi * np.cumsum(rng.uniform(80, 600) * 2**swing) / RATE
    return partials(rng, phase, int(rng.integers(1, 15)), rng.uniform(0.5, 2)) + hiss(rng, 25)


NOT_SPEECH: dict[str, Maker] = {
    "silence": lambda _: np.zeros(LENGTH),
    "white noise": lambda rng: band_noise(rng),
    "pink noise": lambda rng: band_noise(rng, 1),
    "brown noise": lambda rng: band_noise(rng, 2),
    "hum": hum,
    "tone": tone,
    "sweep": sweep,
    "chord": chord,
    "clicks": clicks,
    "dial tones": dial_tones,
    "tapping": tapping,
    "breath": breath,
    "throbbing noise": throbbing_noise,
    "siren": siren,
}


def at_random_level(maker: Maker, rng: np.random.Generator) -> NDArray[np.float32]:
    """Peak at -50 to -3 dBFS; every third one in steps of 16 bits."""
    wave = maker(rng)
    peak = np.abs(wave).max()
    wave = wave / (peak or 1.0) * 10 ** (rng.uniform(-50, -3) / 20)
    if rng.random() < 1 / 3:
        wave = np.round(wave * 32767) / 32767
    return wave.astype(np.float32)


def accepted(maker: Maker, draws: int, seed: int) -> float:
    """Share of random draws in which speech is found."""
    rng = np.random.default_rng(seed)
    return float(
        np.mean([bool(speech_segments(at_random_level(maker, rng))) for _ in range(draws)])
    )


def spoken(seconds: float = 1.2, seed: int = 0) -> NDArray[np.float32]:
    """Something like speech: a gliding buzz through moving formants, syllable by syllable."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    pitch = 140 * 2 ** (0.3 * np.sin(2 * np.pi * 0.9 * time) + 0.05 * np.sin(2 * np.pi * 5 * time))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    first = 500 + 250 * np.sin(2 * np.pi * 3.1 * time)
    second = 1600 + 700 * np.sin(2 * np.pi * 2.3 * time + 1)
    wave = np.zeros_like(time)
    for n in range(1, 30):
        height = np.exp(-(((n * pitch - first) / 200) ** 2)) + 0.02
        height += 0.5 * np.exp(-(((n * pitch - second) / 300) ** 2))
        wave += height * np.sin(n * phase)
    wave *= 0.15 + np.abs(np.sin(2 * np.pi * 2 * time))
    wave += 1e-3 * rng.standard_normal(len(time))
    return (0.3 * wave / np.abs(wave).max()).astype(np.float32)


def quiet(seconds: float) -> NDArray[np.float32]:
    noise = np.random.default_rng(5).standard_normal(int(seconds * RATE))
    return (1e-4 * noise).astype(np.float32)


def test_silence_around_speech_is_trimmed() -> None:
    (segment,) = speech_segments(np.concatenate([quiet(1.0), spoken(1.2), quiet(1.5)]))
    assert segment == pytest.approx(
        (1.0 - activity.PAD_SECONDS, 2.2 + activity.PAD_SECONDS), abs=0.08
    )


def test_a_short_pause_is_bridged_and_a_long_one_is_not() -> None:
    def with_pause(seconds: float) -> NDArray[np.float32]:
        return np.concatenate([quiet(0.5), spoken(1.0), quiet(seconds), spoken(1.0), quiet(0.5)])

    assert len(speech_segments(with_pause(0.15))) == 1
    first, second = speech_segments(with_pause(0.8))
    assert second[0] - first[1] == pytest.approx(0.8 - 2 * activity.PAD_SECONDS, abs=0.12)


def test_segments_stay_within_the_recording() -> None:
    samples = spoken(1.0)
    (segment,) = speech_segments(samples)
    assert segment[0] == 0
    assert segment[1] == pytest.approx(1.0)


def test_speech_is_found_between_other_sounds() -> None:
    rng = np.random.default_rng(1)
    noise = (0.05 * band_noise(rng)).astype(np.float32)
    (segment,) = speech_segments(
        np.concatenate([noise, quiet(1.5), spoken(1.2), quiet(1.5), noise])
    )
    assert segment == pytest.approx((3.4, 4.8), abs=0.1)


@pytest.mark.parametrize("gain", [0.02, 0.2, 3.0, 30.0])
def test_level_and_clipping_do_not_matter(gain: float) -> None:
    samples = np.concatenate([quiet(0.5), spoken(1.5), quiet(0.5)]) * np.float32(gain)
    assert speech_segments(samples)


@pytest.mark.parametrize("kind", NOT_SPEECH)
def test_what_is_not_speech_is_refused(kind: str) -> None:
    assert accepted(NOT_SPEECH[kind], draws=20, seed=7) <= 1 / 20


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(0, np.float32),
        np.zeros(1, np.float32),
        np.full(activity.FRAME - 1, 0.5, np.float32),
        np.zeros(RATE, np.float32),
        np.full(RATE, 0.7, np.float32),
        np.full(RATE, np.nan, np.float32),
        np.full(RATE, np.inf, np.float32),
    ],
    ids=["empty", "one sample", "less than a frame", "zeros", "constant", "nan", "infinite"],
)
def test_nothing_to_hear(samples: NDArray[np.float32]) -> None:
    assert speech_segments(samples) == []
    assert loudest_dbfs(samples) == -np.inf


def test_values_that_are_no_numbers_do_not_spoil_the_rest() -> None:
    samples = np.concatenate([quiet(0.5), spoken(1.5), quiet(0.5)])
    samples[100:110] = np.nan
    assert speech_segments(samples)


def test_samples_are_cleaned_where_they_have_to_be() -> None:
    samples = np.clip(spoken(1.0), -1, 1).astype(np.float32)
    samples.flags.writeable = False
    assert activity._clean(samples) is samples
    for wrong, right in ((-3.0, -1.0), (3.0, 1.0), (-np.inf, -1.0), (np.inf, 1.0), (np.nan, 0.0)):
        spoilt, expected = samples.copy(), samples.copy()
        spoilt[5], expected[5] = wrong, right
        np.testing.assert_array_equal(activity._clean(spoilt), expected)
    np.testing.assert_array_equal(activity._clean(samples.astype(np.float64)), samples)


@pytest.mark.parametrize(("rate", "shape"), [(8000, (RATE,)), (RATE, (RATE, 2))])
def test_another_rate_or_shape_is_a_mistake(rate: int, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="16000 Hz"):
        speech_segments(np.zeros(shape, np.float32), rate)


def test_the_loudest_frame_decides_the_level() -> None:
    samples = np.zeros(RATE, np.float32)
    samples[RATE // 2 :] = np.sin(2 * np.pi * 1000 * TIME[: RATE // 2]) / 10
    assert loudest_dbfs(samples) == pytest.approx(-23.0, abs=0.1)
    assert loudest_dbfs(samples + np.float32(0.2)) == pytest.approx(-23.0, abs=0.1)
    assert loudest_dbfs(np.tile(np.array([1, -1], np.float32), 20)) == pytest.approx(0.0, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    arrays.arrays(
        st.sampled_from([np.float32, np.float64]),
        st.integers(0, 4000),
        elements={"allow_nan": True, "allow_infinity": True},
    )
)
def test_any_samples_give_ordered_segments_within_them(samples: NDArray[np.floating]) -> None:
    ends = [0.0]
    for start, end in speech_segments(samples):
        assert ends[-1] <= start < end <= len(samples) / RATE
        ends.append(end)
    assert not np.isnan(loudest_dbfs(samples))


def recorded(archive: Path, clips: int, seed: int) -> list[NDArray[np.float32]]:
    """A random sample of a zipped set, mono at 16 kHz."""
    waves = []
    with zipfile.ZipFile(archive) as zipped:
        names = sorted(
            name
            for name in zipped.namelist()
            if name.endswith(".ogg") and "1076_MTI_SAD_XX" not in name  # silent in the original
        )
        for index in np.random.default_rng(seed).choice(len(names), clips, replace=False):
            wave, rate = soundfile.read(io.BytesIO(zipped.read(names[index])), dtype="float32")
            waves.append(np.asarray(soxr.resample(wave, rate, RATE), np.float32))
    return waves


def loud_frames(samples: NDArray[np.float32]) -> tuple[Wave, NDArray[np.bool_]]:
    """Times of 25 ms frames, and which of them hold speech by their energy alone."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, 400)[::160]
    level = 10 * np.log10(np.square(frames).mean(axis=1) + 1e-12)
    threshold = max(level.max() - 25, min(np.percentile(level, 10) + 12, level.max() - 10))
    return np.linspace(0.0, 0.01 * (len(level) - 1), len(level)) + 0.0125, np.asarray(
        level > threshold
    )


@pytest.mark.parametrize("name", ["ravdess", "crema_d", "tess", "savee"])
def test_recorded_speech_is_found_and_covered(shared: Path, name: str) -> None:
    waves = recorded(shared / "data" / f"{name}.zip", clips=25, seed=3)
    covered = []
    for wave in waves:
        segments = speech_segments(wave)
        assert segments
        times, loud = loud_frames(wave)
        inside = np.any([(times >= a) & (times <= b) for a, b in segments], axis=0)
        covered.append((inside & loud).sum() / loud.sum())
    assert np.median(covered) > 0.97
    assert np.percentile(covered, 10) > 0.85
