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
from .trouble import Parts, explained

_PROTOCOL = 5  # of Python 3.8 and later, so that it is the same on both sides

_lock = threading.RLock()  # an object that is pickled, or a finalizer, may pack something itself
_lent: list[types.ModuleType] = []
"""What was added to cloudpickle's one list of modules whose functions it pickles by value. Whoever
adds to it, or pickles, has the lock, so that no other thread's pickle sees what was added."""


def _forked() -> None:
    global _lock
    if _lock.acquire(blocking=False):
        _lock.release()  # nobody has it, or the thread that forks has
        return
    _lock = threading.RLock()  # another thread of the parent has it, which is not here
    _return_all()


os.register_at_fork(after_in_child=_forked)


def pickled(value: Any, shown: str) -> tuple[bytes, set[str]]:
    """Pickle a function or arguments. Returns the bytes, with the tag of this Python, and the
    modules that the slot will import for them.

    Raises:
        CannotTravelError: one line that names the variable which can't travel.
    """
    with _own_list():
        return _dumped(value, shown)


def pickled_alone(value: Any, shown: str, parts: Parts | None = None) -> bytes:
    """Pickle a function or arguments together with what they need of the user's own modules.

    For what travels in a payload, where there are no files beside it. shown, parts: the value and
    its parts, as an error names them; None: the parts of its type. Errors: as of `pickled`.
    """
    with _own_list():
        known: set[str] = set()
        while True:  # each module that comes by value may refer to further ones
            data, modules = _dumped(value, shown, parts)
            new = {name for name in modules - known if _is_users(name)}
            if not new:
                return data
            known |= new
            for name in new:
                _lend(sys.modules[name])


def _dumped(value: Any, shown: str, parts: Parts | None = None) -> tuple[bytes, set[str]]:
    file, modules = _Bounded(), set[str]()
    try:
        _Pickler(file, modules).dump(value)
    except Exception as error:
        raise explained(value, shown, error, _attempt, parts) from None
    return stamped(file.getvalue()), modules


@contextlib.contextmanager
def packing() -> Iterator[None]:
    """Pack without any other thread that does. A second lock for that could be a dead-lock.

    For what is pickled may pack something itself, and waits for this lock where another thread that
    has it waits for the second one.
    """
    with _lock:
        yield


@contextlib.contextmanager
def _own_list() -> Iterator[None]:
    """Pickle with the list as the user has it. A pickle around this one has its own back behind."""
    with _lock:
        outer = list(_lent)
        _return_all()
        try:
            yield
        finally:
            _return_all()
            for module in outer:
                _lend(module)


def _lend(module: types.ModuleType) -> None:
    """Add a module to the list, unless the user has done so."""
    if module.__name__ not in cloudpickle.list_registry_pickle_by_value():
        with contextlib.suppress(ValueError):  # it is no longer imported
            cloudpickle.register_pickle_by_value(module)
            _lent.append(module)


def _return_all() -> None:
    """Take everything from the list that was added here."""
    while _lent:
        with contextlib.suppress(ValueError):  # the user has taken it out meanwhile
            cloudpickle.unregister_pickle_by_value(_lent.pop())


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
