"""Packs a function into the files of a job: by source, by reference or by value.

docs/design.md, "Code of jobs", says which function travels how, and why.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...errors import BadJobError, CannotTravelError
from ...job.contract import Options
from ...job.files import check_files, imported_files, version_of
from ...job.functions import functions_trouble, yields
from ...job.needs import block_of, needs_of
from ...job.run_options import run_options
from ...job.tags import python_tag
from ...job.uploaded import called, one, star
from ...wire.records import RunOptions
from .by_value import pickled
from .entry import UNPICKLING, Call, entry, imported, importing, job_name
from .origin import Named, file_of, is_installed, named, root_of
from .source import module_files

_MAKERS: dict[Call, Callable[[Any], Any]] = {"one": one, "star": star, "call": called}


@dataclass(frozen=True)
class Packed:
    """A function that is ready to travel.

    job: the name of its job. version: that of its files. files: by their paths below a folder of
    jobs. options: what the master needs to know of its options.
    """

    job: str
    version: str
    files: dict[str, bytes]
    options: RunOptions


def pack(
    function: Callable[..., Any] | None, *, call: Call = "one", options: Options | None = None
) -> Packed:
    """Pack a function into files that workers run like any job.

    A function of the user's own module travels as source, with the modules that it imports: the
    files as they are now, even if they were edited since. One of an installed package is imported
    on the worker. Any other, such as a lambda or a function of the program itself, is pickled: only
    workers with the same minor version of Python get its tasks.

    Args:
        function: None, for `call="call"` alone: each payload has its function.
        call: how `work` calls it: "one" is `function(payload)`, "star" is `function(*payload)`,
            "call" is what the payload (`call_payload`) says.
        options: how its tasks are run. None: the OPTIONS of its module, if it has some.

    Raises:
        CannotTravelError: the function, or something that it refers to, can't be sent. The line
            says what to do.
    """
    if not callable(function) and not (function is None and call == "call"):
        raise CannotTravelError(f"{function!r:.100} can't be called: pass a function")
    if function is None:
        return _Packing(function, call, options, "the call").by_value()
    packing = _Packing(function, call, options, _shown(function))
    packing.check()
    found = named(function)
    if found is None or not _is_importable(found):
        return packing.by_value()
    return packing.by_reference(found) if is_installed(found.module) else packing.by_source(found)


@dataclass(frozen=True)
class _Packing:
    """A function on its way into files. shown: the function, as an error names it."""

    function: Any
    call: Call
    options: Options | None
    shown: str

    def check(self) -> None:
        """Raise CannotTravelError for a function that could not be the work of tasks."""
        trouble = _too_many(self.function) if self.call == "one" else ""
        trouble = trouble or functions_trouble({"work": self._work})
        if not trouble and yields(self.function):
            trouble = "it has a yield, and so gives no result: it must return one"
        if trouble:
            raise CannotTravelError(f"{self.shown} can't be the work of tasks: {trouble}")

    @property
    def _work(self) -> Callable[[Any], Any]:
        """What the entry will have as its `work`."""
        work: Callable[[Any], Any] = _MAKERS[self.call](self.function)
        return work

    def by_source(self, found: Named) -> Packed:
        """The module of the function travels, with what that imports."""
        files = module_files([found.module], self.shown)
        options = getattr(sys.modules[found.module], "OPTIONS", None)
        if self.options is not None or not isinstance(options, Options):
            options = self.options
        block = self._block(found.module)
        return self._named(found, files, self._setup(found), options, block)

    def _block(self, module: str) -> str:
        """What the file of the function says it needs (PEP 723); empty if it says nothing."""
        file = file_of(module)
        source = file.read_bytes() if file is not None else b""
        try:
            needs_of(source)
            return block_of(source)
        except BadJobError as error:
            raise CannotTravelError(f"{self.shown} can't travel: {file}: {error}") from None

    def by_reference(self, found: Named) -> Packed:
        """The worker has the module."""
        return self._named(found, {}, "", self.options)

    def by_value(self) -> Packed:
        """A pickle of the function travels, with the user's modules that it refers to."""
        files: dict[str, bytes] = {}
        modules: set[str] = set()
        line, expression, data = "", "None", None
        if self.function is not None:
            data, modules = pickled(self.function, self.shown)
            files = module_files(sorted(modules), self.shown)
            line, expression = UNPICKLING
        job = job_name(self.function, _tops(files, modules))
        if data is not None:
            files[f"{job}.pickle"] = data
        options = self.options or Options()
        options = replace(options, needs=frozenset([*options.needs, python_tag()]))
        files[f"{job}.py"] = entry(line, expression, self.call, "", options)
        return self._packed(job, files, options)

    def _named(
        self,
        found: Named,
        files: dict[str, bytes],
        setup: str,
        options: Options | None,
        block: str = "",
    ) -> Packed:
        """The entry imports the function by its name."""
        job = job_name(self.function, _tops(files, [found.module]))
        files[f"{job}.py"] = entry(*importing(found), self.call, setup, options, block)
        return self._packed(job, files, options or Options())

    def _setup(self, found: Named) -> str:
        """The line that imports the `setup` of the function's module, if that fits; else empty."""
        setup = getattr(sys.modules[found.module], "setup", None)
        if not callable(setup) or setup is self.function:
            return ""
        fits = not functions_trouble({"work": self._work, "setup": setup})
        return f"from {imported(found.module)} import setup" if fits else ""

    def _packed(self, job: str, files: dict[str, bytes], options: Options) -> Packed:
        try:
            check_files(job, files)
        except BadJobError as error:
            largest = max(files, key=lambda name: len(files[name]))
            raise CannotTravelError(
                f"{self.shown} can't travel: {error}; the largest is {largest}"
                f" ({len(files[largest]):,} bytes): install it on the workers, or pass data by the"
                " path of a file"
            ) from None
        return Packed(job, version_of(files), files, run_options(options))


def _too_many(function: Any) -> str:
    """What to do about a function that needs several arguments. Empty: it does not."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # it is written in C, and tells nothing
        return ""
    by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    count = sum(one.kind in by_place and one.default is one.empty for one in parameters)
    if count < 2:
        return ""
    return f"it takes {count} arguments, and an input is one: pass {count} iterables of inputs"


def _shown(function: Any) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__qualname__", None) or repr(function)[:100]
    return "the lambda" if name.endswith("<lambda>") else str(name).rpartition("<locals>.")[2]


def _is_importable(found: Named) -> bool:
    """Whether a worker can import a function by its name, once the source is there."""
    if is_installed(found.module):
        return True
    file = file_of(found.module)
    return file is not None and root_of(found.module, file) is not None


def _tops(files: Mapping[str, bytes], modules: Iterable[str]) -> set[str]:
    """The names that an entry must not have: of modules that travel, or that they import."""
    paths = set(files)
    for name, source in files.items():
        paths |= imported_files(source, tuple(name.split("/")[:-1]))
    tops = {path.partition("/")[0].removesuffix(".py") for path in paths}
    return tops | {module.partition(".")[0] for module in modules}
