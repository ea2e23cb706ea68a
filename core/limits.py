"""Every limit on what Duet accepts, in one place."""

from __future__ import annotations

MAX_FILE_BYTES = 50 * 1024 * 1024
"""Also the upload limit in .streamlit/config.toml (in MB there)."""

MAX_IMAGE_PIXELS = 50_000_000
"""Width x height as the header states it; larger pictures are refused before decoding."""

MIN_IMAGE_SIDE = 16
"""Pixels; nothing smaller can hold a face that says anything."""

WORKING_IMAGE_SIDE = 1920
"""Pixels; a larger picture is reduced so that its longer side is this before faces are sought."""

MAX_AUDIO_SECONDS = 600.0
"""Longer recordings are refused, decoding no more than this."""

MIN_AUDIO_SECONDS = 0.3
"""Shorter recordings hold no word."""

MIN_SPEECH_SECONDS = 0.25
"""Less speech than this, after trimming, is no speech."""

SILENCE_DBFS = -60.0
"""A recording whose loudest 25 ms frame is below this level is silent."""

MAX_JPEG_SCANS = 100
"""A progressive JPEG has about ten; thousands are an attack that takes minutes to decode."""

MIN_AUDIO_RATE = 4_000
"""Hz; telephones have 8,000."""

MAX_AUDIO_RATE = 384_000
"""Hz; the filter that resamples grows with it."""

MAX_AUDIO_VALUES = 200_000_000
"""Decoded samples of all channels together: 10 minutes of six channels at 48 kHz and more."""

MAX_AUDIO_PACKETS = 300_000
"""Ten minutes of the shortest Opus packets (2.5 ms) are 240,000; sound cut into smaller pieces is
an attack that takes minutes to decode."""
