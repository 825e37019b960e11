"""What scripts have chosen on this machine: images that stand in where no registry answers."""

from __future__ import annotations

import os
from pathlib import Path

_FOLDER = Path(__file__).parents[1] / ".cache"
_CHOSEN = {
    "BASE": ("base", "quartermaster-base:3.13"),
    "POSTGRES_IMAGE": ("postgres-image", "quartermaster-postgres:17"),
}


def chosen(variable: str) -> str:
    """The name of an image: of the variable if it is set, else of the file that a script wrote."""
    file, default = _CHOSEN[variable]
    path = _FOLDER / file
    there = path.read_text().strip() if path.exists() else default
    return os.environ.get(variable, there)


def take_chosen(*variables: str) -> None:
    """Set the variables for compose files, as `make` does. One without a choice stays unset."""
    for variable in variables:
        if (_FOLDER / _CHOSEN[variable][0]).exists():
            os.environ[variable] = chosen(variable)
