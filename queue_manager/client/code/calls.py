"""The payload of one call, for a function that was packed with `call="call"`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ... import codec
from ...errors import NotPlainDataError
from .by_value import pickled_alone

Payload = tuple[bytes | None, Any, dict[str, Any] | None]


def call_payload(
    function: Callable[..., Any] | bytes | None,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
) -> Payload:
    """The payload that calls `function(*args, **kwargs)` in a slot.

    function: None is the function of the run itself; bytes: what `pickled_function` has made.
        Any other function travels by value with what it needs of the user's modules.
    args, kwargs: as plain data where they are, else as a pickle, which only the slot loads.

    Raises:
        CannotTravelError: the function or an argument can't be pickled.
    """
    if function is not None and not isinstance(function, bytes):
        function = pickled_function(function)
    given: Any = tuple(args)
    named: dict[str, Any] | None = dict(kwargs or {})
    try:
        codec.freeze((given, named))
    except NotPlainDataError:
        given, named = pickled_alone((given, named), "the call"), None
    return function, given, named


def pickled_function(function: Callable[..., Any]) -> bytes:
    """A function as the payloads of many calls may have it. Errors: as of `call_payload`."""
    return pickled_alone(function, getattr(function, "__name__", None) or repr(function)[:100])
