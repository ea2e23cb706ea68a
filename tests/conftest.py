"""What every test may rely on."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pylibsrtp  # noqa: F401 - before TensorFlow: its set-up crashes once that is loaded
import pytest

from tests.browser import SHARED, environment

# What is trained from the app on this machine stays out of the tests.
os.environ["DUET_HOME"] = tempfile.mkdtemp(prefix="duet-home-")

# Before any test opens the face detector, which is chosen once per process.
os.environ.update(environment())


@pytest.fixture(scope="session", autouse=True)
def _keras_keeps_its_session() -> None:
    """Streamlit clears Keras's session after each run of a page where Keras is imported.

    The app never imports it. Here, where tests of training do, that took five to ten seconds a run.
    """
    if keras := sys.modules.get("keras"):
        keras.backend.clear_session = lambda free_memory=True: None


@pytest.fixture(autouse=True)
def _pages_are_not_main() -> Iterator[None]:
    """A page that `AppTest` ran stays behind as `__main__`, which helpers of training would run."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


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


@pytest.fixture
def without_graphs() -> Iterator[None]:
    """Each operation by itself: what learns from a few clips is done before it would be compiled.

    That training runs compiled, too, is seen where single networks are trained.
    """
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
