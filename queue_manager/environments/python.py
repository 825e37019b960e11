"""How a child process for a job is started: with our own Python, or with that of an environment."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import NamedTuple

from .layout import python_of, variables


class Python(NamedTuple):
    """The interpreter of a child process. folder: of its environment; empty: it is our own."""

    folder: str = ""

    @property
    def program(self) -> str:
        """The path of the interpreter."""
        return str(python_of(self.folder)) if self.folder else sys.executable

    def variables(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The environment variables of the process."""
        return variables(self.folder, environ) if self.folder else dict(environ)


OWN = Python()
"""This process's own interpreter."""
