"""The files that a version of a job's code consists of, by their paths below the folder of jobs.

This module owns the version of files, which files a source imports, and what may travel. It runs no
code, so the process that owns the queue may use it.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from ..errors import BadJobError
from ..wire.limits import CODE_BYTES, CODE_FILES, PATH_CHARS

PACKAGE = "jobs"
"""The package that a folder of jobs is, whatever the folder is called."""

SUFFIXES = (".py", ".pickle")
"""What may travel: source, and functions that have none."""

_NAME_BYTES = 255  # of a part of a path: NAME_MAX of Linux


_parsing = threading.RLock()


def parsed(source: bytes) -> ast.Module:
    """The tree of a source. Any thread may call it. Raises as `ast.parse` does.

    CPython 3.11 has one number for the depth of all trees that are being made. Its collector may
    run a finalizer in between, which lets another thread on. If that thread makes a tree, too, one
    of them fails with a SystemError. Source: `ast2obj_mod` of CPython's `Python/Python-ast.c`.
    """
    with _parsing:
        return ast.parse(source)


def _forked() -> None:
    global _parsing
    _parsing = threading.RLock()  # another thread may have held it


os.register_at_fork(after_in_child=_forked)


def version_of(files: Mapping[str, bytes]) -> str:
    """The SHA-256 of files with their names, in hex."""
    digest = hashlib.sha256()
    for key, source in sorted(files.items()):
        digest.update(f"{key}\0{len(source)}\0".encode() + source)
    return digest.hexdigest()


def check_files(job: str, files: Mapping[str, bytes]) -> None:
    """Check files from another program before any of their names becomes a path.

    Raises:
        BadJobError: a path leads out of the folder or is none of a job, the job's own file is
            missing, or the files take too much. One line.
    """
    if not job.isidentifier():
        raise BadJobError(f"{job!r} is no job's name: letters, digits and _")
    if f"{job}.py" not in files:
        raise BadJobError(f"the code of {job} has no {job}.py")
    for name in files:
        if not _is_path(name):
            raise BadJobError(f"{name[:100]!r} is no file of jobs")
    folders = {str(folder) for name in files for folder in PurePosixPath(name).parents}
    if not folders.isdisjoint(files):
        raise BadJobError(f"{min(folders.intersection(files))!r} is a file and a folder")
    size = sum(map(len, files.values()))
    if len(files) > CODE_FILES or size > CODE_BYTES:
        raise BadJobError(
            f"the code of {job} has {len(files):,} files of {size:,} bytes: {CODE_FILES:,} files of"
            f" {CODE_BYTES:,} bytes together may travel"
        )


def _is_path(name: str) -> bool:
    """Whether a name is a plain path below a folder, written in the one way that it can be."""
    path = PurePosixPath(name)
    return (
        len(name) <= PATH_CHARS
        and name.isprintable()
        and str(path) == name
        and not path.is_absolute()
        and ".." not in path.parts
        and path.suffix in SUFFIXES
        and all(len(part.encode("utf-8", "replace")) <= _NAME_BYTES for part in path.parts)
    )


@functools.lru_cache(maxsize=128)  # it is called every second, and parsing takes milliseconds
def imported_files(source: bytes, package: tuple[str, ...]) -> frozenset[str]:
    """The files that a module would import from the folder, by their paths below it."""
    try:
        tree = parsed(source)
    except (SyntaxError, ValueError, RecursionError):
        return frozenset()
    names = {parts for node in _statements(tree) for parts in _imported(node, package)}
    bases = {"/".join(parts[:length]) for parts in names for length in range(1, len(parts) + 1)}
    return frozenset(f"{base}{end}" for base in bases for end in (".py", "/__init__.py"))


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """All statements, in functions too. Imports are statements; expressions are most of a tree."""
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        yield node
        for name in _BLOCKS:
            todo += getattr(node, name, ())


_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
"""The attributes of a node that hold statements, or what holds statements itself."""


def _imported(node: ast.AST, package: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The names that a node imports."""
    names: list[tuple[str, ...]] = []
    if isinstance(node, ast.Import):
        names = [tuple(alias.name.split(".")) for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        base = tuple(node.module.split(".")) if node.module else ()
        if node.level:
            base = package[: len(package) + 1 - node.level] + base
        names = [(*base, *alias.name.split(".")) for alias in node.names]
    return [parts[1:] if parts[0] == PACKAGE else parts for parts in names]
