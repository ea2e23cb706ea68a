"""Spectra of many short frames of sound, and sums over their bands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LARGEST_PRODUCT = 2**18
"""Multiplications of one product of matrices. A larger one OpenBLAS shares out among threads, which
takes longer than these products do, and far longer where something else has the other cores."""
BANDS_AT_ONCE = 8
"""In one product. With more, more of it is zeros; with fewer, there are too many products."""


def power_spectrum(
    frames: NDArray[np.float32], window: NDArray[np.float32], length: int
) -> NDArray[np.float32]:
    """Squared magnitude of the Fourier transform of each windowed frame.

    By OpenCV, which takes a third of the time of NumPy's. A process that has not loaded it yet does
    so here, once, in about 15 ms.

    Parameters
    ----------
    frames : float32 (n, samples). window : float32 (samples,), what each is multiplied by.
    length : of the transform, even, `samples` at least; zeros stand behind a shorter frame.

    Returns
    -------
    float32 (n, 1 + length // 2)

    Raises
    ------
    ValueError
        For another length.
    """
    import cv2

    if length % 2 or frames.shape[1] > length:
        raise ValueError(f"{frames.shape[1]} samples have no transform of {length} here")
    power = np.empty((len(frames), 1 + length // 2), np.float32)
    if not len(frames):
        return power
    work = np.empty((len(frames), length), np.float32)
    np.multiply(frames, window, out=work[:, : frames.shape[1]])
    work[:, frames.shape[1] :] = 0
    # Packed: the real part at 0 Hz, real and imaginary ones in turn, the real one at half the rate.
    cv2.dft(work, dst=work, flags=cv2.DFT_ROWS)
    np.square(work, out=work)
    power[:, 0], power[:, -1] = work[:, 0], work[:, -1]
    np.add(work[:, 1:-1:2], work[:, 2:-1:2], out=power[:, 1:-1])
    return power


def inverse_of_real_spectrum(spectra: NDArray[np.float32]) -> NDArray[np.float32]:
    """The signal whose spectrum is real and given; that of a power spectrum is its autocorrelation.

    Parameters
    ----------
    spectra : float32 (n, 1 + length // 2).

    Returns
    -------
    float32 (n, length)
    """
    import cv2

    packed = np.zeros((len(spectra), 2 * (spectra.shape[1] - 1)), np.float32)
    if not len(spectra):
        return packed
    packed[:, 0], packed[:, -1] = spectra[:, 0], spectra[:, -1]
    packed[:, 1:-1:2] = spectra[:, 1:-1]
    return np.asarray(cv2.idft(packed, flags=cv2.DFT_ROWS | cv2.DFT_SCALE), np.float32)


@dataclass(frozen=True)
class FilterBank:
    """Weighted sums over bins, of bands that touch few of them each.

    A product with all bins would mostly multiply zeros.
    """

    bands: int
    blocks: tuple[tuple[slice, slice, NDArray[np.float32]], ...]
    """Bands, bins and (bins, bands) weights of each block."""

    @classmethod
    def of(cls, filters: NDArray[np.floating]) -> FilterBank:
        """From the weights of all bins, (bins, bands); neighbouring bands lie at near frequencies.

        Raises
        ------
        ValueError
            When `BANDS_AT_ONCE` neighbours weigh no bin.
        """
        found = []
        for first in range(0, filters.shape[1], BANDS_AT_ONCE):
            bands = slice(first, min(first + BANDS_AT_ONCE, filters.shape[1]))
            touched = np.flatnonzero(filters[:, bands].any(axis=1))
            if not len(touched):
                raise ValueError(f"bands {bands.start} to {bands.stop - 1} weigh no bin")
            bins = slice(int(touched[0]), int(touched[-1]) + 1)
            found.append((bands, bins, filters[bins, bands].astype(np.float32)))
        return cls(filters.shape[1], tuple(found))

    def __call__(self, power: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, bins) to (n, bands), both float32."""
        sums = np.empty((len(power), self.bands), np.float32)
        for bands, bins, weights in self.blocks:
            rows = max(1, LARGEST_PRODUCT // weights.size)
            for start in range(0, len(power), rows):
                part = slice(start, start + rows)
                np.matmul(power[part, bins], weights, out=sums[part, bands])
        return sums
