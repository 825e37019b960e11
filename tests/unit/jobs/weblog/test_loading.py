"""What loading the job `logs` costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[4]


def test_a_runner_loads_nothing_that_only_slots_need() -> None:
    code = "import sys, jobs.logs; print(*sys.modules)"
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=REPO, check=True, capture_output=True, text=True, timeout=60)
    assert not {"pyarrow", "numpy", "zstandard", "jinja2"} & set(done.stdout.split())
