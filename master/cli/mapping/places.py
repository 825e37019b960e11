"""Names the user's own files in what workers say, where they name copies of them.

Code travels to workers as files, and a slot runs those. Knows nothing of what else a line says.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

_COPY = re.compile(r'[^"\n]*/quartermaster-code-[^/"\n]+/[0-9a-f]{64}/jobs/(?P<path>[^"\n]+\.py)')
"""A file of code that has travelled: in the folder of its version, in that of a worker."""


class Places:
    """Where the files of a program are. folder: that of the function's file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def in_text(self, text: str) -> str:
        """The same text, with the paths of the user's own files."""
        return _COPY.sub(self._own, text) if "quartermaster-code-" in text else text

    def in_line(self, line: bytes) -> bytes:
        """As `in_text`, of bytes that may be no text."""
        return self.in_text(line.decode("utf-8", "surrogateescape")).encode(
            "utf-8", "surrogateescape"
        )

    def _own(self, found: re.Match[str]) -> str:
        for folder in (self._folder, *map(Path, sys.path)):
            path = folder / found["path"]
            if path.is_file():
                return str(path.absolute())
        return found[0]  # such as the file that we add to those of the user
