"""Statements of SQL by their names, as the `.sql` files of this room and of an engine have them.

A header `-- name: NAME` begins a statement. A value in it is `:name`. `{name}` stands for columns
or an expression (`columns.py`), or for a part that the caller chooses. A statement that both
engines understand stands in `relational/sql`; an engine's own takes the place of one of that name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources

from .columns import Dialect, columns

_HEADER = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COMMON = "master.store.relational"


class Statements:
    """The statements of an engine. package: its name; its folder `sql` has the files."""

    def __init__(self, package: str, dialect: Dialect) -> None:
        self._texts = read(_COMMON) | read(package)
        self._columns = columns(dialect)
        self._made: dict[tuple[str, tuple[tuple[str, str], ...]], str] = {}

    @property
    def names(self) -> set[str]:
        """The names of all statements."""
        return set(self._texts)

    def text(self, name: str, parts: Mapping[str, str] | None = None) -> str:
        """The SQL of a statement. parts: what stands in the place of its `{name}`."""
        key = (name, tuple(parts.items()) if parts else ())
        made = self._made.get(key)
        if made is None:
            given = _Known({**self._columns, **(parts or {})})
            # A part may have columns in it, too.
            made = self._texts[name].format_map(given).format_map(given)
            self._made[key] = made
        return made


class _Known(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return f"{{{key}}}"


def read(package: str) -> dict[str, str]:
    """The statements of the files of a package, by their names. Raises ValueError: a name twice."""
    found: dict[str, str] = {}
    folder = resources.files(package).joinpath("sql")
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if not file.name.endswith(".sql"):
            continue
        _, *parts = _HEADER.split(file.read_text("utf-8"))
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            if name in found:
                raise ValueError(f"{file.name} has {name} once more")
            found[name] = text.strip().removesuffix(";")
    return found
