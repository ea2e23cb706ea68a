"""How a data set is read: the app reads it in the same way."""

from core.datasets import DataSetError, Files, locate

__all__ = ["DataSetError", "Files", "locate"]
