"""A voice changed by given amounts: what training draws at random, and the pages by sliders."""

from __future__ import annotations

import av
import numpy as np
from numpy.typing import NDArray

from core.voice.features import SAMPLE_RATE

Samples = NDArray[np.float32]


def change_pitch_and_tempo(samples: Samples, pitch: float, tempo: float) -> Samples:
    """Multiply pitch (with formants) and tempo, by FFmpeg's resampling and `atempo` (WSOLA)."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=SAMPLE_RATE, format="flt", layout="mono")
    chain = [
        source,
        graph.add("asetrate", str(round(SAMPLE_RATE * pitch))),
        graph.add("aresample", str(SAMPLE_RATE)),
        graph.add("atempo", f"{tempo / pitch:.4f}"),
        graph.add("aformat", f"sample_fmts=flt:sample_rates={SAMPLE_RATE}:channel_layouts=mono"),
        graph.add("abuffersink"),
    ]
    graph.link_nodes(*chain).configure()
    frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="flt", layout="mono")
    frame.sample_rate = SAMPLE_RATE
    graph.push(frame)
    graph.push(None)
    parts = []
    while True:
        try:
            parts.append(graph.pull().to_ndarray()[0])
        except (av.BlockingIOError, av.EOFError):
            break
    return np.concatenate(parts).astype(np.float32) if parts else samples


def add_noise(samples: Samples, snr_db: float, colour: float, rng: np.random.Generator) -> Samples:
    """Noise with a power spectrum of 1 / f**colour (0 white, 1 pink, 2 brown) at an SNR in dB."""
    white = rng.standard_normal(len(samples))
    if not colour:
        return mix_at(samples, white, snr_db)
    spectrum = np.fft.rfft(white)
    frequency = np.maximum(np.arange(len(spectrum)), 20 * len(samples) / SAMPLE_RATE)
    noise = np.fft.irfft(spectrum / frequency ** (colour / 2), len(samples))
    return mix_at(samples, noise, snr_db)


def mix_at(samples: Samples, noise: NDArray[np.floating], snr_db: float) -> Samples:
    """Add noise of the same length so that the signal-to-noise ratio is `snr_db`."""
    ratio = float(np.mean(samples**2)) / max(float(np.mean(noise**2)), 1e-20)
    gain = np.sqrt(ratio / 10 ** (snr_db / 10))
    return (samples + gain * noise).astype(np.float32)


def shift_in_time(samples: Samples, seconds: float) -> Samples:
    """Move a clip later (earlier, below 0) by `seconds`; what leaves one end enters the other."""
    return np.roll(samples, round(seconds * SAMPLE_RATE))
