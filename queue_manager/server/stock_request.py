"""The requests of stock clients, and the exceptions that such clients can read.

This module owns the shape `(ident, name, args, kwargs)`. `connection` knows what a name means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..errors import QueueError
from ..wire.limits import NAME_CHARS, is_name
from ..wire.stock.one_value import OneValue
from ..wire.stock.pickles import Token
from .served import Served

_REPEATED_BYTES = 256

Call = tuple[Served, str, tuple[Any, ...]]
"""The object that is called, the method, and its arguments."""


class StockRequest(NamedTuple):
    """A request whose shape and names are checked. Its arguments are not."""

    ident: Any
    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


class RepeatedCall:
    """What a connection calls again and again. It is read and checked once.

    A call without arguments, such as `get`, is the same bytes each time. A call with a short value,
    such as `put`, is the same except for the value.
    """

    def __init__(self) -> None:
        self._frame: bytes | None = None
        self._bare: Call | None = None
        self._around: OneValue | None = None
        self._of: tuple[Served, str] | None = None
        self._tried: tuple[str, str] | None = None

    def again(self, frame: bytes) -> Call | None:
        """What a frame calls, if it is such a call again. None: it has to be read."""
        if frame == self._frame:
            return self._bare
        if self._around is not None and self._of is not None:
            values = self._around.values(frame)
            if values is not None:
                return *self._of, values
        return None

    def note(self, frame: bytes, request: StockRequest, served: Served) -> None:
        """Remember a call that was just read, if it is short. served: the object that it calls."""
        ident, method, args, kwargs = request
        if len(frame) > _REPEATED_BYTES or len(args) > 1 or kwargs:
            return
        if not args:
            self._frame, self._bare = frame, (served, method, ())
            return
        if (ident, method) != self._tried:
            self._tried = ident, method
            self._around, self._of = OneValue.of(frame, ident, method), (served, method)


def parse(request: object) -> StockRequest:
    """Check an unpickled request.

    Raises:
        TypeError: the request is no tuple of four, or its arguments are no tuple and no dict.
        ValueError: a name in it is no name.
    """
    if type(request) is not tuple or len(request) != 4:
        raise TypeError("a request is a tuple of four: ident, name, args, kwargs")
    ident, name, args, kwargs = request
    if type(args) not in (tuple, list) or type(kwargs) is not dict:
        raise TypeError("a request has a tuple of arguments and a dict of named ones")
    for key in kwargs:
        checked_name(key, "the name of an argument")
    return StockRequest(ident, checked_name(name, "the name of a method"), tuple(args), kwargs)


def manage(name: str, args: tuple[Any, ...], exposed: Callable[[object], tuple[str, ...]]) -> Any:
    """Answer one of the requests that every manager knows and that need no connection.

    exposed: gives the methods of a name's object. It checks the name first.
    """
    if name == "create":
        return args[0], exposed(args[0])
    if name == "get_methods":
        if type(args[0]) is not Token:
            raise TypeError("get_methods is asked with a Token")
        return exposed(args[0].id)
    if name in ("dummy", "incref", "decref"):
        return None
    raise ValueError(f"{name!r} is not on this network")


def checked_name(value: object, what: str) -> str:
    """Check a stranger's name. After that it may be hashed and shown. Raises ValueError."""
    if not isinstance(value, str) or not is_name(value):
        raise ValueError(f"{what} is a text of at most {NAME_CHARS} printable characters")
    return value


def built_in(error: Exception) -> Exception:
    """Make an exception that a client with nothing but the standard library can unpickle."""
    if isinstance(error, QueueError):
        kind: type[Exception] = next(
            (k for k in (TypeError, ValueError) if isinstance(error, k)), RuntimeError
        )
        return kind(str(error))
    if isinstance(error, LookupError):
        return ValueError(str(error))
    return error
