"""What a job's file says it needs: the block `# /// script` of PEP 723.

This module owns how the block is read and what in it is refused. It runs no code of the job, so the
process that owns the queue may use it. Tables called `tool` are for other programs, and are left
alone.

Source: https://packaging.python.org/en/latest/specifications/inline-script-metadata/
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Any

from ..errors import BadJobError

_OPENING, _END = "# /// script", "# ///"

MOST_LINES = 1_000
"""The most lines of a block. Reading one must not hold up the process that owns the queue."""

OURS = "quartermaster-queue"
"""Our own package. A program that runs by its block names it; a worker brings its own."""


@dataclass(frozen=True)
class Needs:
    """What a block asks for.

    dependencies: requirements (PEP 508) in one spelling and order, without our own package.
    requires_python: a version specifier (PEP 440), or empty.
    """

    dependencies: tuple[str, ...] = ()
    requires_python: str = ""

    def python_trouble(self) -> str:
        """Why this process's Python does not fit; empty if it does."""
        if not self.requires_python:
            return ""
        from packaging.specifiers import SpecifierSet  # late: few jobs have a block

        here = platform.python_version()
        if SpecifierSet(self.requires_python).contains(here, prereleases=True):
            return ""
        return f"it needs Python {self.requires_python} (requires-python), and here is {here}"


def block_of(source: bytes) -> str:
    """The lines of a source's block, with its marks; empty if there is none. Raises as `needs_of`.

    Raises:
        BadJobError: the block has no end or too many lines, or there are two.
    """
    if b"# /// script" not in source:
        return ""
    lines = source.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
    opened = [place for place, line in enumerate(lines) if line.rstrip(" \t") == _OPENING]
    if not opened:
        return ""
    if len(opened) > 1:
        raise BadJobError("has more than one block # /// script")
    start = opened[0]
    for place in range(start + 1, min(len(lines), start + MOST_LINES)):
        line = lines[place]
        if line == _END and place > start + 1:
            return "\n".join(lines[start : place + 1])
        if line != "#" and not line.startswith("# "):
            raise BadJobError("its block # /// script has no end: a line # /// after lines with #")
    raise BadJobError(f"its block # /// script has no end within {MOST_LINES:,} lines")


def needs_of(source: bytes) -> Needs | None:
    """What the file of a job asks for; None if it has no block.

    Raises:
        BadJobError: the block is malformed. The line says how.
    """
    block = block_of(source)
    return _read(block) if block else None


def _read(block: str) -> Needs:
    import tomllib  # late: few jobs have a block

    lines = block.splitlines()[1:-1]
    try:
        said = tomllib.loads("\n".join(line[2:] for line in lines))
    except tomllib.TOMLDecodeError as error:
        raise BadJobError(f"its block # /// script is no TOML: {error}") from None
    dependencies = said.get("dependencies", [])
    if not (isinstance(dependencies, list) and all(isinstance(d, str) for d in dependencies)):
        raise BadJobError("its block # /// script: dependencies is a list of texts")
    unknown = said.keys() - {"dependencies", "requires-python", "tool"}
    if unknown:
        raise BadJobError(f"its block # /// script has {min(unknown)!r}, which means nothing there")
    return Needs(_requirements(dependencies), _specifier(said.get("requires-python", "")))


def _requirements(texts: list[str]) -> tuple[str, ...]:
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    from ..masking import masked

    found = set()
    for text in texts:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            why = masked(str(error).partition("\n")[0])
            said = masked(repr(text))
            raise BadJobError(f"its block # /// script: dependency {said:.100}: {why}") from None
        if canonicalize_name(requirement.name) != OURS:
            found.add(str(requirement))
    return tuple(sorted(found))


def _specifier(text: Any) -> str:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        if not isinstance(text, str):
            raise InvalidSpecifier
        return str(SpecifierSet(text))
    except InvalidSpecifier:
        wrong = f"requires-python {text!r:.100} is no version specifier, such as '>=3.11'"
        raise BadJobError(f"its block # /// script: {wrong}") from None
