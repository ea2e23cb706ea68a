"""In which numbers networks are trained.

bfloat16 halves what units made for it have to do, and where there are none it is put together out
of float32: on such a processor the compact networks learn ten times more slowly in it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import keras

BFLOAT16_UNITS = frozenset({"avx512_bf16", "amx_bf16"})
"""Flags, as Linux names them, of processors that calculate in bfloat16."""


def dtype_policy(wanted: str) -> str:
    """Keras's policy to train by: `wanted`, or `float32` where `mixed_bfloat16` would be slower."""
    return wanted if wanted != "mixed_bfloat16" or _has_bfloat16() else "float32"


@cache
def _has_bfloat16() -> bool:
    return has_accelerator() or bool(BFLOAT16_UNITS & processor_flags())


def has_accelerator() -> bool:
    """Whether Keras calculates on a GPU or TPU."""
    if keras.backend.backend() == "torch":  # for which Keras lists no devices
        import torch

        return bool(torch.cuda.is_available())
    for kind in ("gpu", "tpu"):
        try:
            if keras.distribution.list_devices(kind):
                return True
        except RuntimeError:  # JAX raises it where there are none
            continue
    return False


def processor_flags(path: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """What the processor can do, as Linux names it; nothing where that is not told."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return frozenset()
    flags = (line.partition(":")[2] for line in lines if line.startswith("flags"))
    return frozenset(next(flags, "").split())
