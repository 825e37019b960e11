"""Finds the variable because of which a function can't be pickled, and says it in one line."""

from __future__ import annotations

import functools
import io
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ...errors import CannotTravelError

_DEPTH = 5
"""How deep variables are looked at within variables."""

_KINDS: tuple[tuple[Callable[[Any], bool], str, str], ...] = (
    (lambda x: isinstance(x, io.IOBase), "an open file", "open it in the function"),
    (lambda x: _type(x) == "_socket.socket", "a socket", "connect in the function"),
    (lambda x: _type(x) == "socket.socket", "a socket", "connect in the function"),
    (
        lambda x: _type(x).startswith(("_thread.", "threading.")),
        "a lock or thread",
        "make it there",
    ),
    (lambda x: isinstance(x, types.GeneratorType), "a generator", "pass a list, or make it there"),
    (lambda x: isinstance(x, types.FrameType), "a frame", "leave it out"),
    (lambda x: _type(x).startswith("sqlite3."), "a connection", "connect in the function"),
)

Try = Callable[[Any], Exception | None]
"""Tries to pickle a value. It returns the error, or None."""


Parts = Iterable[tuple[str, Any]]
"""What a value consists of, each part with the name by which a line calls it."""


def explained(
    function: Any, shown: str, error: Exception, attempt: Try, parts: Parts | None = None
) -> CannotTravelError:
    """The line about a function that can't be pickled.

    error: what pickling it has raised. attempt: tries to pickle a part of it. parts: its own.
    None: those of its type.
    """
    path, value, why = _blame(function, error, attempt, parts)
    said = " ".join(str(why).split()) or type(why).__name__
    if isinstance(why, CannotTravelError):
        return CannotTravelError(f"{shown} can't travel: {path}{' ' * bool(path)}{said}")
    for fits, kind, remedy in _KINDS:
        if path and fits(value):
            return CannotTravelError(f"{shown} can't travel: {path} is {kind}: {remedy}")
    if not path:
        return CannotTravelError(f"{shown} can't travel: {said}")
    return CannotTravelError(f"{shown} can't travel: {path} is a {_type(value)}: {said}")


def _type(value: Any) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


def _blame(
    value: Any, error: Exception, attempt: Try, parts: Parts | None
) -> tuple[str, Any, Exception]:
    """The innermost part that can't be pickled: how it is reached, itself, and the error."""
    path, seen = "", {id(value)}
    for depth in range(_DEPTH):
        for name, part in parts if parts is not None and not depth else _parts(value):
            if id(part) in seen:
                continue
            seen.add(id(part))
            trouble = attempt(part)
            if trouble is not None:
                path = name if not path else f"{name} of {path}"
                value, error = part, trouble
                break
        else:
            break
    return path, value, error


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """What travels with a value, each part as a line names it."""
    if isinstance(value, functools.partial):
        yield "its function", value.func
        yield from ((f"its argument {place + 1}", arg) for place, arg in enumerate(value.args))
        yield from ((f"its argument {name!r}", arg) for name, arg in value.keywords.items())
    elif isinstance(value, types.MethodType):
        yield "its object (self)", value.__self__
    elif isinstance(value, types.FunctionType):
        yield from _of_function(value)
    elif isinstance(value, type):
        yield from ((f"its attribute {name!r}", part) for name, part in list(vars(value).items()))
    elif isinstance(value, dict):
        yield from ((f"its entry {key!r:.60}", part) for key, part in list(value.items()))
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((f"its item {place}", part) for place, part in enumerate(value))
    else:
        yield from _of_object(value)


def _of_function(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f"its variable {name!r}", cell.cell_contents
        except ValueError:  # it has no value yet
            continue
    for name in sorted(_globals(function.__code__)):
        if name in function.__globals__:
            yield f"its global {name!r}", function.__globals__[name]
    parameters = function.__code__.co_varnames[: function.__code__.co_argcount]
    defaults = function.__defaults__ or ()
    named = zip(parameters[len(parameters) - len(defaults) :], defaults, strict=True)
    for name, part in [*named, *(function.__kwdefaults__ or {}).items()]:
        yield f"the default of its parameter {name!r}", part
    yield from ((f"its attribute {name!r}", part) for name, part in vars(function).items())


def _of_object(value: Any) -> Iterator[tuple[str, Any]]:
    yield from (
        (f"its attribute {name!r}", part) for name, part in getattr(value, "__dict__", {}).items()
    )
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, name) and name not in ("__dict__", "__weakref__"):
                yield f"its attribute {name!r}", getattr(value, name)


def _globals(code: types.CodeType) -> set[str]:
    """The names that may be globals of a code, and of the functions in it."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _globals(constant)
    return names
