"""What a task has raised, as plain data: the module, the name and the args of an exception.

The worker writes it, the master only keeps it, and the client makes an exception of it again
(`client.exceptions`). Nothing is imported or unpickled here but plain data.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import codec
from ..errors import ProtocolError, TimeLimitError, TooLargeError, WorkerDiedError
from ..terminal import UNREADABLE
from ..wire.limits import RAISED_BYTES
from .contract import Retry

ARGS_BYTES = 4 * 1024
"""Longer args travel as their texts, which are cut."""

_NAME_CHARS = 512
_TEXTS, _TEXT_CHARS = 4, 480
_CUT = " [cut]"


class Raised(NamedTuple):
    """An exception by the names of its class, and its args as plain data."""

    module: str
    qualname: str
    args: tuple[Any, ...]


def write_raised(error: BaseException) -> bytes:
    """Plain data of an exception, at most 8 KiB; empty if there is none of it. It never raises.

    Args that are no plain data, or take more than 4 KiB, are replaced by their texts.
    """
    try:
        kind = type(error)
        names = _name(kind, "__module__"), _name(kind, "__qualname__")
        args = _args_of(error)
        try:
            return codec.encode((*names, args), ARGS_BYTES)
        except Exception:
            return codec.encode((*names, tuple(map(_text, args[:_TEXTS]))), RAISED_BYTES)
    except BaseException:  # the code of a job may do anything; the one line has to do
        return b""


def read_raised(data: bytes) -> Raised | None:
    """What `write_raised` has written. None: nothing, or something else."""
    try:
        value = codec.decode(data)
    except ProtocolError:
        return None
    if type(value) is not tuple or list(map(type, value)) != [str, str, tuple]:
        return None
    return Raised(*value)


def _name(kind: type, which: str) -> str:
    """A name of a class as `type` has it, also where its metaclass has another one."""
    name = type.__dict__[which].__get__(kind)
    if type(name) is not str or len(name) > _NAME_CHARS:
        raise ValueError(name)
    return name


def _args_of(error: BaseException) -> tuple[Any, ...]:
    """What its class takes to make it again."""
    if isinstance(error, Retry) and error.args == (error.delay_s,):
        return error.delay_s, error.whole_group, error.reason
    if isinstance(error, OSError) and error.filename is not None and len(error.args) == 2:
        more = () if error.filename2 is None else (None, error.filename2)
        return *error.args, error.filename, *more
    return tuple(error.args)


def _text(value: object) -> str:
    """Any object of a job as a text of bounded length."""
    try:
        text = value if type(value) is str else str(value)
    except BaseException:
        return UNREADABLE
    text = text if len(text) <= _TEXT_CHARS else text[:_TEXT_CHARS] + _CUT
    return text.encode("utf-8", "replace").decode()


def _ours(kind: type[Exception]) -> bytes:
    """An error that the queue itself reports of a task. Its text is the one line of the failure."""
    return codec.encode((kind.__module__, kind.__qualname__, ()))


TIME_LIMIT = _ours(TimeLimitError)
WORKER_DIED = _ours(WorkerDiedError)
TOO_LARGE = _ours(TooLargeError)
