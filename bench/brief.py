"""`BENCH_BRIEF=1 python -m bench` runs every benchmark for a second or two.

Such figures say nothing about speed. They show CI that each benchmark can run.
"""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")

BRIEF = os.environ.get("BENCH_BRIEF", "") == "1"
"""Whether this is a brief look. It is read once, before any benchmark computes its sizes."""


def sized(full: T, brief: T) -> T:
    """Choose a size: `full` for figures, `brief` for a brief look."""
    return brief if BRIEF else full
