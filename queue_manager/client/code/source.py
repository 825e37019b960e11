"""The user's own modules that a function needs, as files.

This module owns where imports are looked for: in the folder of the module, and then where this
process finds modules. What it reads are the files as they are now, as for any job: a module that
was edited since it was imported travels as edited.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from ...errors import CannotTravelError
from ...job.files import PACKAGE, imported_files
from .origin import file_of, is_installed, is_installed_file, root_of


def module_files(modules: Iterable[str], shown: str) -> dict[str, bytes]:
    """The files of modules of the user, and of all that they import, by the paths that travel.

    modules: those that are installed are left out. shown: the function, as an error names it.

    Raises:
        CannotTravelError: a module is no file of Python source, or can't be read.
    """
    files: dict[str, bytes] = {}
    for module in modules:
        if not is_installed(module):
            found = _loaded(module, shown) if module in sys.modules else _on_path(module)
            if found is not None:
                _add(files, *found, shown)
    return files


def _loaded(module: str, shown: str) -> tuple[str, list[Path]] | None:
    """Where the file of an imported module is: its path that travels, below the first of folders.

    None: it has none, such as a package that is a plain folder.
    """
    file = file_of(module)
    if file is None:
        return None
    if file.suffix != ".py":
        raise CannotTravelError(
            f"{shown} can't travel: its module {module} is no Python source ({file}): install it on"
            " the workers"
        )
    root = root_of(module, file)
    if root is None:
        raise CannotTravelError(
            f"{shown} can't travel: {module} was imported from a file of another name ({file}):"
            " import it by its own name"
        )
    return file.relative_to(root).as_posix(), _roots(root)


def _on_path(module: str) -> tuple[str, list[Path]] | None:
    """The same of a module that a function imports when it runs. It is not imported for this."""
    base = "/".join(module.split("."))
    roots = _roots()
    for root in roots:
        for key in (f"{base}/__init__.py", f"{base}.py"):
            if (root / key).is_file():
                return key, [root, *roots]
    return None


def _roots(*first: Path) -> list[Path]:
    """The folders in which the user's modules are looked for."""
    folders = [*first, *(Path(entry or os.getcwd()) for entry in sys.path)]
    folders = [folder for folder in folders if not is_installed_file(folder) and folder.is_dir()]
    folders += [folder / PACKAGE for folder in folders if (folder / PACKAGE).is_dir()]
    return list(dict.fromkeys(folders))


def _add(files: dict[str, bytes], key: str, roots: list[Path], shown: str) -> None:
    """Add a file and all that it imports. key: its path below the first of the roots."""
    todo = [(key, roots[0] / key)]
    todo += [(one, path) for one in _packages(key) if (path := _found(one, roots))]
    looked_for = {one for one, _ in todo}
    while todo:
        key, path = todo.pop()
        try:
            source = path.read_bytes()
        except OSError as error:
            raise CannotTravelError(
                f"{shown} can't travel: can't read {path}: {error.strerror}"
            ) from None
        if files.setdefault(key, source) != source:
            raise CannotTravelError(
                f"{shown} can't travel: it needs two files that are both called {key}: rename one"
            )
        wanted = imported_files(source, tuple(key.split("/")[:-1])) - looked_for
        looked_for |= wanted
        todo += [(one, path) for one in sorted(wanted) if (path := _found(one, roots))]


def _packages(key: str) -> list[str]:
    """The files of the packages that a file is in."""
    folders = key.split("/")[:-1]
    return ["/".join([*folders[:depth], "__init__.py"]) for depth in range(1, len(folders) + 1)]


def _found(key: str, roots: list[Path]) -> Path | None:
    for root in roots:
        path = root / key
        if path.is_file():
            # It is the first that Python would find, so a file behind it does not count.
            return None if is_installed_file(path) else path
    return None
