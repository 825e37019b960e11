"""`docs/scale.svg`: the figures of `decades` as curves, a panel for each kind and each measure.

matplotlib draws it, in an environment of its own that only this benchmark makes.
"""

from __future__ import annotations

import subprocess

from ..rig import processes
from ..rig.environment import python_of

CHART = processes.ROOT / "docs" / "scale.svg"
LIMIT_S = 300.0
"""matplotlib looks for fonts at its first use, which may take a minute on a busy machine."""

_HERE = processes.HERE / "scale"


def draw(figures: str) -> None:
    """Draw the chart. figures: JSON, a list of points by kind, as `decades` has them."""
    python = str(python_of(processes.CACHE / "chart", _HERE / "requirements.txt"))
    words = [python, str(_HERE / "curves.py"), str(CHART)]
    subprocess.run(words, input=figures, text=True, check=True, timeout=LIMIT_S)
