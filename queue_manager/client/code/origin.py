"""Where a function comes from: a file of the user's, an installed package, or nowhere.

This module owns which modules count as installed, and so are on the workers already. It reads no
file and packs nothing.
"""

from __future__ import annotations

import functools
import pickle
import site
import sys
import sysconfig
import types
from pathlib import Path
from typing import Any, NamedTuple

from ...job.files import PACKAGE

_INSTALLED = {"site-packages", "dist-packages"}

_OURS = ("queue_manager", "master", "worker")
_PROGRAM = Path(__file__).resolve().parents[3]
"""The folder that has our own packages, which workers have, or have no use for."""


class Named(NamedTuple):
    """A function that a module has by a name. name: with dots for what is in a class."""

    module: str
    name: str


def named(function: Any) -> Named | None:
    """The module and the name by which another process can import a function.

    None: there is no such name, as for a lambda or a closure, or the module is the program itself.
    """
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", None)
    if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
        return None
    module = getattr(function, "__module__", None)
    if not isinstance(module, str):
        try:
            module = str(vars(pickle)["whichmodule"](function, name))  # typeshed lacks it
        except Exception:  # a module that raises when it is looked at
            return None
    if module in ("__main__", "__mp_main__") or module not in sys.modules:
        return None
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part, None)
    is_same = found is function or (isinstance(found, types.MethodType) and found == function)
    return Named(module, name) if is_same else None


def is_installed(module: str) -> bool:
    """Whether workers can be expected to have a module, or could install it."""
    top = module.partition(".")[0]
    if top == "queue_manager" or top in sys.stdlib_module_names:
        return True
    file = file_of(module)
    return _is_part_of_python(module) if file is None else is_installed_file(file)


def is_installed_file(file: Path) -> bool:
    """Whether a file belongs to Python, to an installed package, or to our own program."""
    if not _INSTALLED.isdisjoint(file.parts):
        return True
    if any(file.is_relative_to(_PROGRAM / name) for name in _OURS):
        return True
    return any(file.is_relative_to(folder) for folder in _libraries())


@functools.lru_cache(maxsize=1)
def _libraries() -> tuple[Path, ...]:
    """The folders of the standard library and of packages."""
    paths = sysconfig.get_paths()
    folders = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders += [site.getusersitepackages()]
    return tuple({Path(folder).resolve() for folder in folders} | {Path(one) for one in folders})


def file_of(module: str) -> Path | None:
    """The file of a module that was imported. None: it has none, such as what is built in."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return Path(file).absolute() if isinstance(file, str) else None


def _is_part_of_python(module: str) -> bool:
    spec = getattr(sys.modules.get(module), "__spec__", None)
    return getattr(spec, "origin", None) in ("built-in", "frozen")


def root_of(module: str, file: Path) -> Path | None:
    """The folder from which a module is imported. None: its name and its file do not fit.

    A module `jobs.x` is imported from the folder `jobs` itself, as workers do it.
    """
    parts = module.split(".")
    if parts[0] == PACKAGE and len(parts) > 1:
        parts = parts[1:]
    if file.name == "__init__.py":
        folder = file.parent
        names = [folder.name]
    else:
        folder = file
        names = [file.stem]
    for _ in parts[1:]:
        folder = folder.parent
        names.insert(0, folder.name)
    return folder.parent if names == parts else None
