"""Which run makes the calls of a function, and whether their payloads have the function.

This module starts no run, and knows no futures.
"""

from __future__ import annotations

import functools
import types
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

from msgspec.structs import replace

from ...job.contract import Options
from ...job.uploaded import each
from ..code import Packed, pack
from ..code.by_value import packing
from ..code.calls import pickled_function

LARGE_BYTES, MOST_RUNS = 16 * 1024, 32
"""A larger function is not repeated in each payload: it gets one of at most so many runs."""

Function = Callable[..., Any]


class Place(NamedTuple):
    """Where a function is called. function: what the payloads have; None: the run's own."""

    packed: Packed
    function: bytes | None


class Functions:
    """The functions of one executor, each packed once.

    The first function gets a run of its own. So does each function of the user's own modules, which
    travel with the run as source. Any other travels by value in the payloads.

    options: of all runs; None: those of the function's module, with one attempt.
    """

    def __init__(self, options: Options | None) -> None:
        self._options = options
        self._known: weakref.WeakKeyDictionary[Function, dict[bool, Place]]
        self._known = weakref.WeakKeyDictionary()
        self._shared: Packed | None = None
        self._runs = 0

    def place(self, function: Function, chunks: bool = False) -> Place:
        """Where a function is called.

        chunks: its payload is a list of the arguments of many calls.

        A function that stays the same is looked at once. A bound method or a partial may have
        changed since its last call, so it is pickled each time.

        Raises CannotTravelError.
        """
        stays = _stays(function)
        known = self._known.get(function, {}).get(chunks) if stays else None
        if known is not None:
            return known
        with packing():
            return self._place(function, chunks, stays)

    def _place(self, function: Function, chunks: bool, stays: bool) -> Place:
        if not stays:
            return self._in_payload(_whole(function, chunks))
        places = self._known.setdefault(function, {})
        place = places.get(chunks)
        if place is None:
            place = places[chunks] = self._new(_whole(function, chunks))
        return place

    def _new(self, function: Function) -> Place:
        packed = self._pack(function)
        size_bytes = sum(map(len, packed.files.values()))
        modules = sum(name.endswith(".py") for name in packed.files) > 1
        large = size_bytes > LARGE_BYTES and self._runs < MOST_RUNS
        if self._runs and not large and not modules:
            return self._in_payload(function)
        self._runs += 1
        if self._shared is None and packed.options.needs and not modules:
            self._shared = packed  # its workers have this Python
        return Place(packed, None)

    def _in_payload(self, function: Function) -> Place:
        data = pickled_function(function)
        if self._shared is None:
            self._shared = self._pack(None)
            self._runs += 1
        return Place(self._shared, data)

    def _pack(self, function: Function | None) -> Packed:
        packed = pack(function, call="call", options=self._options)
        if self._options is not None and self._options.attempts is not None:
            return packed
        options = replace(packed.options, attempts=1)
        return Packed(packed.job, packed.version, packed.files, options)


def _stays(function: Function) -> bool:
    """Whether a function is the same at its next call."""
    if isinstance(function, types.BuiltinFunctionType):
        return isinstance(function.__self__, types.ModuleType | None)
    return isinstance(function, types.FunctionType | type)


def _whole(function: Function, chunks: bool) -> Function:
    return functools.partial(each, function) if chunks else function
