"""`BENCH_BRIEF=1 python -m bench`: every benchmark whole, but each for a second or two.

Such figures say nothing about speed. They show that each benchmark can run, which CI wants to know.
"""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")

BRIEF = os.environ.get("BENCH_BRIEF", "") == "1"
"""Whether this is a brief look. Read once, before any benchmark computes its sizes."""


def sized(full: T, brief: T) -> T:
    """The size that counts in this process: the one for figures, or the one for a brief look."""
    return brief if BRIEF else full
