"""What every test may rely on."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pylibsrtp  # noqa: F401 - before TensorFlow: its set-up crashes once that is loaded
import pytest

from tests.browser import SHARED, environment

# What is trained from the app on this machine stays out of the tests.
os.environ["DUET_HOME"] = tempfile.mkdtemp(prefix="duet-home-")

# Before any test opens the face detector, which is chosen once per process.
os.environ.update(environment())


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with data sets and YuNet for tests; without it a test is skipped, in CI it fails.

    It is not part of the repository: `../shared`, or the folder named by DUET_TEST_DATA.
    """
    if not (SHARED / "data").is_dir():
        missing = f"{SHARED} is missing"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return SHARED
