"""Spectra by OpenCV and sums by blocks, against NumPy's transforms and whole products."""

from __future__ import annotations

import numpy as np
import pytest

from core.voice import spectrum
from core.voice.features import mel_filters
from core.voice.spectrum import FilterBank, inverse_of_real_spectrum, power_spectrum


@pytest.mark.parametrize(("samples", "length"), [(640, 1024), (2048, 2048), (256, 1024), (6, 8)])
def test_power_is_numpys(samples, length):
    frames = np.random.default_rng(samples).standard_normal((30, samples)).astype(np.float32)
    window = np.hanning(samples).astype(np.float32)
    expected = np.abs(np.fft.rfft(frames.astype(np.float64) * window, length)) ** 2
    power = power_spectrum(frames, window, length)
    assert power.dtype == np.float32
    np.testing.assert_allclose(power, expected, rtol=1e-4, atol=1e-5 * expected.max())


def test_power_of_a_view_leaves_it_as_it_is():
    sound = np.random.default_rng(1).standard_normal(4000).astype(np.float32)
    kept = sound.copy()
    frames = np.lib.stride_tricks.sliding_window_view(sound, 1024)[::160]
    window = np.hanning(1024).astype(np.float32)
    expected = np.abs(np.fft.rfft(frames * window)) ** 2
    np.testing.assert_allclose(
        power_spectrum(frames, window, 1024), expected, rtol=1e-4, atol=1e-5 * expected.max()
    )
    np.testing.assert_array_equal(sound, kept)


def test_inverse_is_numpys():
    magnitude = np.abs(np.random.default_rng(2).standard_normal((20, 257))).astype(np.float32)
    kept = magnitude.copy()
    found = inverse_of_real_spectrum(magnitude)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.fft.irfft(magnitude), atol=1e-6)
    np.testing.assert_array_equal(magnitude, kept)


def test_inverse_of_power_is_the_autocorrelation():
    frame = np.zeros((1, 16), np.float32)
    frame[0, :4] = [1, 2, 0, -1]
    lags = inverse_of_real_spectrum(power_spectrum(frame, np.ones(16, np.float32), 16))[0]
    np.testing.assert_allclose(lags[:5], [6, 2, -2, -1, 0], atol=1e-5)


@pytest.mark.parametrize(
    "make",
    [lambda none: power_spectrum(none, np.ones(1024, np.float32), 1024), inverse_of_real_spectrum],
)
def test_nothing_has_no_spectrum(make):
    assert make(np.empty((0, 1024), np.float32)).shape[0] == 0


def test_bands_are_those_of_a_whole_product():
    power = np.random.default_rng(3).random((700, 513)).astype(np.float32)
    bank = FilterBank.of(mel_filters())
    np.testing.assert_allclose(bank(power), power @ mel_filters(), rtol=1e-5)
    sizes = [weights.size for _, _, weights in bank.blocks]
    assert sum(sizes) < mel_filters().size / 3


def test_what_cannot_be_is_refused():
    frames = np.ones((2, 8), np.float32)
    for length in (9, 6):
        with pytest.raises(ValueError, match="have no transform"):
            power_spectrum(frames, np.ones(8, np.float32), length)
    with pytest.raises(ValueError, match="bands 8 to 9 weigh no bin"):
        FilterBank.of(np.pad(np.ones((20, 8)), ((0, 0), (0, 2))))


def test_one_frame():
    frame = np.random.default_rng(5).standard_normal((1, 1024))
    expected = np.abs(np.fft.rfft(frame)) ** 2
    found = power_spectrum(frame.astype(np.float32), np.ones(1024, np.float32), 1024)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * expected.max())


def test_bands_that_make_no_whole_block():
    filters = np.zeros((40, 11))
    for band in range(11):
        filters[3 * band : 3 * band + 4, band] = 1 + band
    power = np.random.default_rng(4).random((5, 40)).astype(np.float32)
    np.testing.assert_allclose(FilterBank.of(filters)(power), power @ filters, rtol=1e-5)


def test_no_product_is_large_enough_for_threads(monkeypatch):
    sizes = []

    def product(rows, weights, out):
        sizes.append(rows.shape[0] * weights.size)
        out[:] = rows @ weights

    bank = FilterBank.of(mel_filters())
    power = np.ones((3000, 513), np.float32)
    expected = bank(power)
    monkeypatch.setattr(spectrum.np, "matmul", product)
    np.testing.assert_allclose(bank(power), expected)
    assert max(sizes) <= spectrum.LARGEST_PRODUCT
