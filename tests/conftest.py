"""What every test may rely on."""

from __future__ import annotations

import os

from tests.browser import environment

# Before any test opens the face detector, which is chosen once per process.
os.environ.update(environment())
