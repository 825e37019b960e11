"""The payload of one call, for a function that was packed with `call="call"`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ... import codec
from ...errors import NotPlainDataError
from .by_value import pickled_alone


def call_payload(
    function: bytes | None,
    args: tuple[Any, ...] = (),
    kwargs: dict[str, Any] | None = None,
    shown: str = "the function",
) -> codec.Encoded:
    """The payload that calls `function(*args, **kwargs)` in a slot, encoded.

    function: None is the function of the run itself; bytes: what `pickled_function` has made.
    args, kwargs: as plain data where they are, else as a pickle, which only the slot loads.
    shown: the function, as an error names it.

    Raises:
        CannotTravelError: an argument can't be pickled.
    """
    try:
        return codec.Encoded(codec.encode((function, args, kwargs)))
    except NotPlainDataError:
        named = [(f"argument {place} of {shown}", arg) for place, arg in enumerate(args, 1)]
        named += [(f"argument {name!r} of {shown}", arg) for name, arg in (kwargs or {}).items()]
        pickled = pickled_alone((args, kwargs), "the call", named)
        return codec.Encoded(codec.encode((function, pickled, None)))


def pickled_function(function: Callable[..., Any]) -> bytes:
    """A function as the payloads of many calls may have it, with the user's modules it needs.

    Raises:
        CannotTravelError: the function can't be pickled.
    """
    return pickled_alone(function, name_of(function))


def name_of(function: Callable[..., Any]) -> str:
    """A function as an error names it."""
    return getattr(function, "__name__", None) or repr(function)[:100]
