"""The payload of one call, for a function that was packed with `call="call"`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ... import codec
from ...errors import NotPlainDataError
from .by_value import pickled_alone


def call_payload(
    function: bytes | None, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
) -> codec.Encoded:
    """The payload that calls `function(*args, **kwargs)` in a slot, encoded.

    function: None is the function of the run itself; bytes: what `pickled_function` has made.
    args, kwargs: as plain data where they are, else as a pickle, which only the slot loads.

    Raises:
        CannotTravelError: an argument can't be pickled.
    """
    try:
        return codec.Encoded(codec.encode((function, args, kwargs)))
    except NotPlainDataError:
        pickled = pickled_alone((args, kwargs), "the call")
        return codec.Encoded(codec.encode((function, pickled, None)))


def pickled_function(function: Callable[..., Any]) -> bytes:
    """A function as the payloads of many calls may have it, with the user's modules it needs.

    Raises:
        CannotTravelError: the function can't be pickled.
    """
    return pickled_alone(function, getattr(function, "__name__", None) or repr(function)[:100])
