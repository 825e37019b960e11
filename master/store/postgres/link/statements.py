"""Statements in `.sql` files, each under a line `-- name: NAME`.

Owns the form of those files. Knows nothing of what the statements do.
"""

from __future__ import annotations

import re
from importlib import resources

_HEADER = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


def load_statements(package: str, file: str) -> dict[str, str]:
    """The statements of a file beside a package's modules, by their names.

    What stands above the first header is a comment on the whole file.
    """
    text = resources.files(package).joinpath(file).read_text("utf-8")
    _, *parts = _HEADER.split(text)
    return {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}
