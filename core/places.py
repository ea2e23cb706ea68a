"""Where a user's own models and training runs are kept."""

from __future__ import annotations

import os
import sys
from pathlib import Path

VARIABLE = "DUET_HOME"


def own_folder() -> Path | None:
    """The folder named by `DUET_HOME`, or `duet` where this user's programs keep their data.

    None when the user has no home folder, or `DUET_HOME` names that of nobody.
    """
    try:
        if named := os.environ.get(VARIABLE):
            return Path(named).expanduser()
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Application Support" / "duet"
        return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "duet"
    except RuntimeError:
        return None


def own_models() -> Path | None:
    """Model folders that were trained from the app."""
    folder = own_folder()
    return folder / "models" if folder else None


def own_runs() -> Path | None:
    """Training runs that were started from the app, finished or not."""
    folder = own_folder()
    return folder / "runs" if folder else None
