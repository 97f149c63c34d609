from __future__ import annotations

from finished import quickstart

__all__ = ["quickstart"]
