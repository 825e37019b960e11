"""The figures of benchmarks in a file: each benchmark has the day and the machine of its own."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

Measured = dict[str, Any]
"""`at` (UTC epoch, s), `machine` (what is described, by name) and `figures` (a record each)."""


def measured(machine: dict[str, str], figures: list[dict[str, Any]]) -> Measured:
    """What was measured now."""
    return {"at": time.time(), "machine": machine, "figures": figures}


def load(path: Path) -> dict[str, Measured]:
    """What was measured last, by benchmark. Nothing if there is no file."""
    return dict(json.loads(path.read_text())["benchmarks"]) if path.exists() else {}


def keep(path: Path, found: dict[str, Measured]) -> None:
    """Put these in the place of the same benchmarks' last figures. Those of others stay."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {**load(path), **found}
    path.write_text(json.dumps({"benchmarks": kept}, indent=1, ensure_ascii=False) + "\n")
