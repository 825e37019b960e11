"""What the entry module of an uploaded function calls in a slot.

A client writes such an entry (`client/code`), so these names are part of what travels: entries of
older clients use them. This module runs what it unpickles, so only slots may call it.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import pickle
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from ..errors import BadJobError
from .tags import python_tag

MARK = b"# An uploaded function."
"""How each entry begins."""

KEPT = 128
"""How many functions of payloads a slot keeps loaded."""

Work = Callable[[Any], Any]


def is_uploaded(job: str, folder: Path) -> bool:
    """Whether the file of a job is such an entry."""
    try:
        with (folder / f"{job}.py").open("rb") as file:
            return file.read(len(MARK)) == MARK
    except OSError:
        return False


def stamped(pickled: bytes) -> bytes:
    """Put the tag of this Python before a pickle that another process will load."""
    return python_tag().encode() + b"\n" + pickled


def load(data: bytes) -> Any:
    """Load a pickle that `stamped` has made.

    Raises:
        BadJobError: another Python has made it. Its functions are bytecode, which may crash here.
        Exception: whatever loading it raises, such as for a module that is not here.
    """
    tag, _, pickled = data.partition(b"\n")
    if tag != python_tag().encode():
        raise BadJobError(
            f"the function is from {_python(tag)} and this worker has {_python(python_tag())}:"
            " use the same on both sides, or put the function in a module, which travels as source"
        )
    return pickle.loads(pickled)


def _python(tag: str | bytes) -> str:
    text = tag[:20].decode("ascii", "replace") if isinstance(tag, bytes) else tag
    return text.replace("python", "Python ", 1)


def from_file(entry: str) -> Any:
    """The function of the pickle beside an entry. entry: the entry's `__file__`."""
    return load(Path(entry).with_suffix(".pickle").read_bytes())


def one(function: Callable[..., Any]) -> Work:
    """Make a `work` of a function that takes the payload."""
    return function if _is_plain(function) else _awaiting(function, lambda x: ((x,), {}))


def star(function: Callable[..., Any]) -> Work:
    """Make a `work` whose payload is a tuple: `function(*payload)`."""
    return _calling(function, lambda payload: (tuple(payload), {}))


def called(function: Callable[..., Any] | None) -> Work:
    """Make a `work` whose payload is `(function, args, kwargs)`, as `call_payload` makes it.

    function: what is called where the payload has None.
    """

    def unpacked(payload: Any) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        its_own, args, kwargs = payload
        if isinstance(args, bytes):
            args, kwargs = load(args)
        chosen = function if its_own is None else _loaded(its_own)
        if chosen is None:
            raise TypeError("the payload has no function, and neither has its run")
        return chosen, tuple(args), kwargs or {}

    if function is not None and _is_async(function):

        async def work_async(payload: Any) -> Any:
            chosen, args, kwargs = unpacked(payload)
            result = chosen(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result

        return work_async

    def work(payload: Any) -> Any:
        chosen, args, kwargs = unpacked(payload)
        result = chosen(*args, **kwargs)
        return _run(result) if inspect.iscoroutine(result) else result

    return work


def each(function: Callable[..., Any], calls: list[tuple[Any, ...]]) -> Any:
    """Call a function many times. An executor has it called for a chunk of its `map`.

    Returns a list of its results, or a coroutine of that list if the function gives coroutines.
    """
    results: list[Any] = []
    for place, args in enumerate(calls):
        result = function(*args)
        if inspect.iscoroutine(result):
            return _each_awaited(function, calls[place + 1 :], results, result)
        results.append(result)
    return results


async def _each_awaited(
    function: Callable[..., Any],
    calls: list[tuple[Any, ...]],
    results: list[Any],
    first: Coroutine[Any, Any, Any],
) -> list[Any]:
    results.append(await first)
    for args in calls:
        result = function(*args)
        results.append(await result if inspect.isawaitable(result) else result)
    return results


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    import asyncio  # late: most slots need no loop

    return asyncio.run(coroutine)


_functions: OrderedDict[bytes, Callable[..., Any]] = OrderedDict()


def _loaded(data: bytes) -> Callable[..., Any]:
    """The function of a payload. It is loaded once for many payloads."""
    key = hashlib.sha256(data).digest()
    function = _functions.get(key)
    if function is None:
        function = _functions[key] = load(data)
        if len(_functions) > KEPT:
            _functions.popitem(last=False)
    else:
        _functions.move_to_end(key)
    return function


Unpack = Callable[[Any], tuple[tuple[Any, ...], dict[str, Any]]]


def _calling(function: Callable[..., Any], unpack: Unpack) -> Work:
    if _is_async(function):
        return _awaiting(function, unpack)

    def work(payload: Any) -> Any:
        args, kwargs = unpack(payload)
        return function(*args, **kwargs)

    return work


def _awaiting(function: Callable[..., Any], unpack: Unpack) -> Work:
    async def work(payload: Any) -> Any:
        args, kwargs = unpack(payload)
        return await function(*args, **kwargs)

    return work


def _is_plain(function: Callable[..., Any]) -> bool:
    """Whether a job may have it as its `work` as it is: any but an object with an async call."""
    return inspect.iscoroutinefunction(function) or not _is_async(function)


def _is_async(function: Callable[..., Any]) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - the method itself is looked at
    )
