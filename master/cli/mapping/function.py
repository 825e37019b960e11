"""Finds the function that a command names as FILE or FILE:FUNCTION.

Loading a file runs its code, in the process of the command. What it prints goes to standard error:
standard output has results alone.
"""

from __future__ import annotations

import contextlib
import importlib
import keyword
import os
import sys
import traceback
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from queue_manager.errors import BadJobError, UnknownJobError
from queue_manager.job.contract import Options
from queue_manager.settings import Settings
from queue_manager.terminal import text_of

from .packages import Packages

DEFAULT = "work"
_OURS = {"queue_manager", "master", "worker", "jobs"}


class Named(NamedTuple):
    """A function of a file. file: as it was typed."""

    file: str
    path: Path
    name: str
    function: Callable[..., Any]


def load_function(text: str, settings: Settings) -> Named:
    """Load FILE or FILE:FUNCTION, with the packages that FILE names.

    Raises:
        UnknownJobError: there is no such file, or it has no such function.
        BadJobError: the file does not load, its name can't be that of a module, its packages can't
            be had, or its OPTIONS are none.
    """
    file, name = _split(text)
    path = Path(file).absolute()
    _check_name(file, path)
    module = _import(file, path, Packages(file, path, settings))
    options = getattr(module, "OPTIONS", None)
    if options is not None and not isinstance(options, Options):
        raise BadJobError(f"{file}: OPTIONS is an Options(...), not {options!r:.100}")
    function = getattr(module, name or DEFAULT, None)
    if not callable(function):
        raise UnknownJobError(_missing(file, name, module, there=function is not None))
    return Named(file, path, name or DEFAULT, function)


def _split(text: str) -> tuple[str, str]:
    """The file and the function; an empty one if none is named."""
    file, colon, name = text.rpartition(":")
    if not colon or Path(text).exists():
        file, name = text, ""
    path = Path(file)
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "there is no such file"
        raise UnknownJobError(f"{file}: {kind}; name a Python file: FILE.py or FILE.py:FUNCTION")
    if colon and file != text and not name.isidentifier():
        raise UnknownJobError(f"{name!r} is no function's name: FILE.py or FILE.py:FUNCTION")
    return file, name


def _check_name(file: str, path: Path) -> None:
    """Raise BadJobError if the name of the file can't be that of a module."""
    stem = path.stem
    if path.suffix != ".py":
        raise BadJobError(f"{file} is no Python file: its name must end with .py")
    if not stem.isidentifier() or keyword.iskeyword(stem):
        near = "".join(c if c.isalnum() else "_" for c in stem)
        near = near if near.isidentifier() and not keyword.iskeyword(near) else f"file_{near}"
        raise BadJobError(f"{file} can't be imported by that name: rename it, such as to {near}.py")
    if stem in _OURS or stem in sys.modules or stem in sys.stdlib_module_names:
        raise BadJobError(f"{file} has the name of a module that is there already: rename it")


def _import(file: str, path: Path, packages: Packages) -> types.ModuleType:
    try:
        if packages.needed:
            packages.add()
            return _imported(path)
        try:
            return _imported(path)
        except ModuleNotFoundError:
            if not packages.add():
                raise
            return _imported(path)
    except BadJobError:
        raise
    except (Exception, SystemExit) as error:
        raise BadJobError(_where(error, file, path)) from error


def _imported(path: Path) -> types.ModuleType:
    folder = str(path.parent)
    sys.path[:] = [folder, *(one for one in sys.path if one != folder)]
    importlib.invalidate_caches()
    with contextlib.redirect_stdout(sys.stderr), _staying():
        return importlib.import_module(path.stem)


@contextlib.contextmanager
def _staying() -> Iterator[None]:
    """`os._exit` raises SystemExit: else a file ended the command by 0, with no output and no word.

    Processes that the file forks end by it as always.
    """
    ours, leave, loads = os.getpid(), os._exit, True

    def stay(status: int) -> NoReturn:
        if loads and os.getpid() == ours:
            raise SystemExit(f"os._exit({status})")
        leave(status)

    os._exit = stay
    try:
        yield
    finally:
        os._exit, loads = leave, False


def _where(error: BaseException, file: str, path: Path) -> str:
    """One line for an error at import. It names the last line of the user's file that ran."""
    line = 0
    for frame in traceback.extract_tb(error.__traceback__):
        if Path(frame.filename) == path:
            line = frame.lineno or 0
    if isinstance(error, SyntaxError) and error.filename:
        file, line = error.filename if error.filename != str(path) else file, error.lineno or 0
    said = text_of(error.msg if isinstance(error, SyntaxError) else error)
    text = f"{type(error).__name__}: {said}".removesuffix(": ")
    return f"{file} line {line}: {text}" if line else f"{file}: {text}"


def _missing(file: str, name: str, module: types.ModuleType, *, there: bool) -> str:
    """What to say of a function that is not there. there: the name is, and is no function."""
    found = sorted(
        one
        for one, value in vars(module).items()
        if isinstance(value, types.FunctionType)
        and value.__module__ == module.__name__
        and not one.startswith("_")
    )
    has = f"it has {', '.join(found)}" if found else "it has no function at all"
    if there:
        return f"{file}: {name or DEFAULT} is no function; {has}"
    if name:
        return f"{file} has no function {name!r}; {has}"
    return f"{file} has no function {DEFAULT}(input): name another as {file}:FUNCTION; {has}"
