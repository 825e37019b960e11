"""Functions that no module has by a name: they travel as a pickle, for the same Python only.

This module owns the pickler, what it refuses, and which modules of the user a pickle refers to.
"""

from __future__ import annotations

import contextlib
import dis
import io
import os
import sys
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import cloudpickle
from cloudpickle.cloudpickle import _should_pickle_by_reference

from ...errors import CannotTravelError
from ...job.uploaded import stamped
from ...wire.limits import CODE_BYTES
from .origin import file_of, is_installed
from .trouble import explained

_PROTOCOL = 5  # of Python 3.8 and later, so that it is the same on both sides

_by_value = threading.Lock()
"""cloudpickle has one list of modules whose functions it pickles by value."""


def _forked() -> None:
    global _by_value
    _by_value = threading.Lock()  # another thread of the parent may have held it


os.register_at_fork(after_in_child=_forked)


def pickled(value: Any, shown: str) -> tuple[bytes, set[str]]:
    """Pickle a function or arguments. Returns the bytes, with the tag of this Python, and the
    modules that the slot will import for them.

    Raises:
        CannotTravelError: one line that names the variable which can't travel.
    """
    file, modules = _Bounded(), set[str]()
    try:
        _Pickler(file, modules).dump(value)
    except Exception as error:
        raise explained(value, shown, error, _attempt) from None
    return stamped(file.getvalue()), modules


def pickled_alone(value: Any, shown: str) -> bytes:
    """Pickle a function or arguments together with what they need of the user's own modules.

    For what travels in a payload, where there are no files beside it. Errors: as of `pickled`.
    """
    with _by_value:
        known: set[str] = set()
        with contextlib.ExitStack() as stack:
            while True:  # each module that comes by value may refer to further ones
                data, modules = pickled(value, shown)
                new = {name for name in modules - known if _is_users(name)}
                if not new:
                    return data
                known |= new
                for name in new:
                    stack.enter_context(_registered(sys.modules[name]))


@contextlib.contextmanager
def _registered(module: types.ModuleType) -> Iterator[None]:
    if module.__name__ in cloudpickle.list_registry_pickle_by_value():
        yield  # the user has done so
        return
    cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(module)


def _is_users(module: str) -> bool:
    return file_of(module) is not None and not is_installed(module)


def _attempt(value: Any) -> Exception | None:
    try:
        _Pickler(_Bounded(), set()).dump(value)
    except Exception as error:
        return error
    return None


class _Bounded(io.BytesIO):
    """A file in memory that takes no more than may travel."""

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes  # the pickler passes large arrays as a PickleBuffer
        if self.tell() + size > CODE_BYTES:
            raise CannotTravelError(
                f"takes more than the {CODE_BYTES:,} bytes that travel: load it in the function,"
                " or pass the path of a file"
            )
        return super().write(data)


class _Pickler(cloudpickle.CloudPickler):  # type: ignore[misc]
    """Notes the modules that are referred to, and takes no file.

    cloudpickle by itself reads a file that is open, and sends what is in it.
    """

    def __init__(self, file: io.BytesIO, modules: set[str]) -> None:
        super().__init__(file, protocol=_PROTOCOL)
        self._modules = modules

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, io.IOBase) and not isinstance(value, io.BytesIO | io.StringIO):
            raise TypeError("cannot pickle an open file")
        if isinstance(value, types.ModuleType):
            self._modules.add(value.__name__)
        elif isinstance(value, types.FunctionType | type):
            if _should_pickle_by_reference(value):
                self._modules.add(value.__module__)
            elif isinstance(value, types.FunctionType):
                self._modules.update(_imports(value.__code__))
        elif isinstance(value, types.BuiltinFunctionType):
            self._modules.add(value.__module__ or "")
        override: Callable[[Any], Any] = super().reducer_override
        return override(value)


def _imports(code: types.CodeType) -> Iterator[str]:
    """The modules that a code imports when it runs."""
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME" and isinstance(instruction.argval, str):
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _imports(constant)
