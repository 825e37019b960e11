"""`python curves.py FILE.svg`: draws the points that it reads as JSON. Runs where matplotlib is."""

from __future__ import annotations

import json
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

MEASURES = {
    "rate": "tasks a second",
    "memory_mb": "master's memory, MB",
    "start_s": "start, s",
    "status_s": "status, s",
}


def main(path: str) -> None:
    """A row of panels for each kind, a column for each measure; sizes are on a log scale."""
    kinds = json.load(sys.stdin)
    plt.rcParams["svg.hashsalt"] = "quartermaster"  # the same figures make the same file
    plt.rcParams["svg.fonttype"] = "none"  # text as text: a tenth of the file
    figure, rows = plt.subplots(
        len(kinds), len(MEASURES), figsize=(13, 2.5 * len(kinds)), squeeze=False
    )
    for panels, (kind, points) in zip(rows, kinds.items(), strict=True):
        sizes = [point["size"] for point in points]
        for panel, (measure, label) in zip(panels, MEASURES.items(), strict=True):
            panel.plot(sizes, [point[measure] for point in points], marker="o")
            panel.set_xscale("log")
            panel.minorticks_off()  # each is an element of the file
            panel.set_ylim(0, 1.2 * max(point[measure] for point in points))
            panel.set_xlabel(kind)
            panel.set_title(label, fontsize="medium")
            panel.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main(sys.argv[1])
