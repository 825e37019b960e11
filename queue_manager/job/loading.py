"""Finds and imports jobs: `NAME.py` in the jobs folder, as the module `jobs.NAME`.

This module owns how a job's module becomes a `Job`, and the version of its code. A job imports its
neighbours as `import helper`, `from jobs.helper import x` or `from .helper import x`. Loading runs
the user's code, so the process that owns the queue never imports this module.
"""

from __future__ import annotations

import ast
import importlib
import importlib.machinery
import importlib.util
import os
import re
import stat
import sys
import traceback
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BadJobError, UnknownJobError
from ..terminal import text_of
from .contract import Counts, Options
from .files import PACKAGE, imported_files, parsed, version_of
from .functions import functions_trouble

_OTHERS = ("tasks", "setup", "collect", "finish", "report", "run_key")
"""The functions that a job may have besides `work`."""


@dataclass(frozen=True)
class Job:
    """A loaded job. `version` changes with its code."""

    name: str
    tasks: Callable[..., Any] | None
    work: Callable[[Any], Any]
    setup: Callable[[], Any] | None
    collect: Callable[[Any, Any], Any] | None
    finish: Callable[..., Any] | None
    report: Callable[[Counts], Any] | None
    run_key: Callable[..., Any] | None
    options: Options
    version: str


UNASKED = "unasked"
"""In place of a version: nobody asks for it. Finding it takes as long as an import or longer."""


class _FreshLoader(importlib.machinery.SourceFileLoader):
    """Compiles the source itself. A cached .pyc of the same second may be out of date."""

    def get_code(self, fullname: str) -> types.CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def load_job(name: str, folder: Path, version: str = "") -> Job:
    """Import the job `name` from `folder`. This runs its code.

    version: of a folder that holds one version alone, which was checked when it was written. Empty:
        it follows from the files as they are now. UNASKED: it is not looked for.

    Raises:
        UnknownJobError: there is no such file, or the name can't be that of a module.
        BadJobError: the module does not load, or lacks what a job needs.
    """
    folder = folder.resolve()
    path = job_path(name, folder)
    version = version or job_version(name, folder)
    module = _import(name, path, folder)
    options = getattr(module, "OPTIONS", None) or Options()
    if not isinstance(options, Options):
        raise BadJobError(f"{_shown(path, folder)}: OPTIONS is an Options(...), not {options!r}")
    work = _function(module, "work", path, folder)
    if work is None:
        raise BadJobError(f"{_shown(path, folder)} has no work(payload), which a job needs")
    others = {one: _function(module, one, path, folder) for one in _OTHERS}
    wrong = functions_trouble({"work": work, **others})
    if wrong:
        raise BadJobError(f"{_shown(path, folder)}: {wrong}")
    return Job(name=name, work=work, options=options, version=version, **others)


def job_names(folder: Path) -> list[str]:
    """The names of the jobs in a folder: its modules that define `work`. Runs no code."""
    try:
        paths = sorted(folder.glob("*.py"))
    except OSError:
        return []
    return [p.stem for p in paths if p.stem.isidentifier() and p.stem[0] != "_" and _works(p)]


def job_version(name: str, folder: Path) -> str:
    """The version of a job's code, which is that of its `job_files`. Raises as `job_files` does."""
    return version_of(job_files(name, folder))


def job_files(name: str, folder: Path) -> dict[str, bytes]:
    """A job's file and the files of the folder that it imports, by their paths below the folder.

    Raises:
        UnknownJobError: there is no such job.
    """
    folder = folder.resolve()
    todo = [job_path(name, folder).name]
    files: dict[str, bytes] = {}
    looked_for = set(todo)
    while todo:
        key = todo.pop()
        try:
            files[key] = (folder / key).read_bytes()
        except OSError as error:
            raise UnknownJobError(f"{_shown(folder / key, folder)}: {error.strerror}") from error
        wanted = imported_files(files[key], tuple(key.split("/")[:-1])) - looked_for
        looked_for |= wanted
        todo += [one for one in wanted if os.path.isfile(os.path.join(folder, one))]
    return files


def job_path(name: str, folder: Path) -> Path:
    """The file of a job. Raises UnknownJobError, which says what to do, if there is none."""
    shown = folder.name or str(folder)
    if not name.isidentifier():
        rule = f"{name!r} is no job's name: {shown}/NAME.py, letters, digits and _"
        raise UnknownJobError(rule + _meant(name, folder))
    path = folder / f"{name}.py"
    why = _no_file(path, shown)
    if why:
        raise UnknownJobError(f"no job {name!r}: {why}")
    return path


def _meant(name: str, folder: Path) -> str:
    """The job that the user probably meant, for a name that no job can have."""
    near = re.sub(r"\W", "_", Path(name).name.removesuffix(".py"))
    if near.isidentifier() and (folder / f"{near}.py").is_file():
        return f"; did you mean {near}?"
    if near.isidentifier() and "/" not in name and (folder / f"{name}.py").is_file():
        return f": rename it to {near}.py"
    return ""


def _no_file(path: Path, shown: str) -> str:
    """Why the file of a job can't be used; empty if it can."""
    file = f"{shown}/{path.name}"
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink():
            return f"{file} is a link to {os.readlink(path)}, which is not there"
        if path.with_suffix("").is_file():
            return f"{shown}/{path.stem} lacks its ending: rename it to {path.name}"
        names = [name for name in job_names(path.parent) if name != path.stem]
        has = f"has {', '.join(names)}" if names else "is empty or missing"
        return f"{shown}/ {has}; put yours at {file}"
    except OSError as error:  # such as a link to itself, or a folder that we may not enter
        return f"{file}: {error.strerror}"
    if stat.S_ISDIR(mode):
        return f"{file} is a folder: a job is one file, which may import others"
    return "" if stat.S_ISREG(mode) else f"{file} is no file"


def _works(path: Path) -> bool:
    """Whether a file defines `work`. A file that does not parse counts as a job with an error."""
    if not path.is_file():  # a folder, or a link to nothing
        return False
    try:
        body = parsed(path.read_bytes()).body
    except (OSError, SyntaxError, ValueError, RecursionError):
        return True
    return any("work" in _defined(node) for node in body)


def _defined(node: ast.stmt) -> list[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [target.id for target in targets if isinstance(target, ast.Name)]
        case ast.ImportFrom(names=names):
            return [alias.asname or alias.name for alias in names]
    return []


def _import(name: str, path: Path, folder: Path) -> types.ModuleType:
    _enter(folder)
    full = f"{PACKAGE}.{name}"
    loader = _FreshLoader(full, str(path))
    spec = importlib.util.spec_from_loader(full, loader)
    assert spec is not None  # a loader was given
    module = importlib.util.module_from_spec(spec)
    sys.modules[full] = module
    try:
        loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[full]
        raise BadJobError(_where(error, path, folder)) from error
    setattr(sys.modules[PACKAGE], name, module)
    return module


def _enter(folder: Path) -> None:
    """Make `folder` the package `jobs` and a place to import from. It replaces another folder."""
    importlib.invalidate_caches()
    package = sys.modules.get(PACKAGE)
    if package is None or list(getattr(package, "__path__", [])) != [str(folder)]:
        _leave(package)
        package = types.ModuleType(PACKAGE)
        package.__path__ = [str(folder)]
        sys.modules[PACKAGE] = package
    if str(folder) not in sys.path:
        # The folder goes before installed packages and behind the standard library: a job that is
        # called `queue` or `random` must not replace a module of the standard library.
        installed = ("site-packages", "dist-packages")
        places = [i for i, entry in enumerate(sys.path) if entry.endswith(installed)]
        sys.path.insert(places[0] if places else len(sys.path), str(folder))


def _leave(package: types.ModuleType | None) -> None:
    old = [str(entry) for entry in getattr(package, "__path__", [])]
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        inside = any(Path(file).is_relative_to(entry) for entry in old) if file else False
        if name == PACKAGE or name.startswith(f"{PACKAGE}.") or inside:
            del sys.modules[name]
    sys.path[:] = [entry for entry in sys.path if entry not in old]


def _function(module: types.ModuleType, name: str, path: Path, folder: Path) -> Any:
    value = getattr(module, name, None)
    if value is not None and not callable(value):
        raise BadJobError(f"{_shown(path, folder)}: {name} is not a function but {value!r:.100}")
    return value


def _shown(path: Path, folder: Path) -> str:
    return f"{folder.name}/{path.relative_to(folder).as_posix()}"


def _where(error: BaseException, path: Path, folder: Path) -> str:
    """One line for an error at import. It names the last line of the folder's code that ran."""
    file, line = str(path), 0
    for frame in traceback.extract_tb(error.__traceback__):
        if Path(frame.filename).is_relative_to(folder):
            file, line = frame.filename, frame.lineno or 0
    if isinstance(error, SyntaxError) and error.filename:
        file, line = error.filename, error.lineno or 0
    inside = Path(file).is_relative_to(folder)
    shown = _shown(Path(file), folder) if inside else file
    said = text_of(error.msg if isinstance(error, SyntaxError) else error)
    text = f"{type(error).__name__}: {said}".removesuffix(": ")
    return f"{shown} line {line}: {text}" if line else f"{shown}: {text}"
