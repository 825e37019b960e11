"""The requests of stock clients, and the exceptions that such clients can read.

This module owns the shape `(ident, name, args, kwargs)`. `connection` knows what a name means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..errors import QueueError
from ..wire.limits import NAME_CHARS, is_name
from ..wire.stock.pickles import Token

_REPEATED_BYTES = 256


class StockRequest(NamedTuple):
    """A request whose shape and names are checked. Its arguments are not."""

    ident: Any
    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


class RepeatedCall:
    """The last call without arguments of a connection.

    A call such as `get` is the same bytes each time. They are read and checked once.
    frame: these bytes; None before there was such a call. request: what they say.
    """

    frame: bytes | None = None
    request = StockRequest("", "", (), {})

    def note(self, frame: bytes, request: StockRequest) -> None:
        """Remember a call that was just read, if it is short and has no arguments."""
        if len(frame) <= _REPEATED_BYTES and not (request.args or request.kwargs):
            self.frame, self.request = frame, request


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
