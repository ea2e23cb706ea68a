"""How a data set is read, as the app reads it, and how results are written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from core.datasets import DataSetError, Files, locate

__all__ = ["DataSetError", "Files", "locate", "write_json"]


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")
