"""Converts the text of one argument to the type that a job's `tasks()` names.

This module owns which texts each annotation accepts on a command line, and how an error describes
them. It never guesses: it refuses a text that can't be converted, and a type that no text can give.
"""

from __future__ import annotations

import collections.abc
import datetime
import enum
import inspect
import re
import types
import typing
from collections.abc import Callable
from typing import Any

import msgspec

_BOOLS = {
    "1": True, "true": True, "yes": True, "on": True, "y": True,
    "0": False, "false": False, "no": False, "off": False, "n": False,
}  # fmt: skip
_NOTHING = ("", "none", "null")
_TEXTS = (str, Any, object)
_ISO: dict[Any, Callable[[str], Any]] = {
    datetime.datetime: datetime.datetime.fromisoformat,
    datetime.time: datetime.time.fromisoformat,
}
"""Types of which Python reads more forms than msgspec does."""

_DATES = (datetime.datetime, datetime.date, datetime.time)

_LISTS: dict[Any, Callable[[list[Any]], Any]] = {
    list: list, tuple: tuple, set: set, frozenset: frozenset,
    collections.abc.Iterable: list, collections.abc.Sequence: list,
    collections.abc.Collection: list,
}  # fmt: skip
_DESCRIPTIONS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    complex: "a number such as 1+2j",
    bool: "true or false",
    bytes: "base64 of bytes, such as aGVsbG8=",
    bytearray: "base64 of bytes, such as aGVsbG8=",
    datetime.datetime: "a date and time such as 2026-01-02T03:04:05+01:00",
    datetime.date: "a date such as 2026-01-02",
    datetime.time: "a time of day such as 12:30",
    datetime.timedelta: "a number of seconds, or a duration such as PT1H30M",
    type(None): "none",
    str: "a text",
}


class CannotBeGivenError(ValueError):
    """No text on a command line can give a value of that type."""


def converted(text: str, wanted: Any) -> Any:
    """Convert a text to the wanted type.

    Raises:
        ValueError, ArithmeticError: the text is no value of that type.
        CannotBeGivenError: no text is a value of that type.
    """
    wanted, metas = _bare(wanted)
    value = _of(text, wanted)
    if metas and value is not None:
        value = _checked(value, wanted, metas)
    return value


def fitted(value: Any, wanted: Any) -> Any:
    """Check a value that a program gives, by those annotations that say more than a type of Python.

    These are a subclass of `str`, whose constructor may refuse a text; `Literal`; and `Annotated`
    with `msgspec.Meta`. A text for a date or a time becomes one. Other values stay as they are.

    Raises:
        ValueError: the value is none that the annotation allows.
    """
    bare, metas = _bare(wanted)
    if typing.get_origin(bare) in (typing.Union, types.UnionType):
        kinds = [one for one in typing.get_args(bare) if one is not type(None)]
        is_nothing = value is None and len(kinds) < len(typing.get_args(bare))
        return value if is_nothing or len(kinds) > 1 else fitted(value, kinds[0])
    if typing.get_origin(bare) is typing.Literal and value not in typing.get_args(bare):
        raise ValueError(value)
    if _is_own_text(bare) or (isinstance(value, str) and bare in _DATES):
        return converted(value if isinstance(value, str) else _no_text(value), wanted)
    if metas and type(value).__module__ == "builtins":
        if bare in (int, float, str, bool, bytes):
            for meta in metas:
                value = msgspec.convert(value, typing.Annotated[bare, meta])
            return value
        return _checked(value, bare, metas)
    return value


def _is_own_text(bare: Any) -> bool:
    """Whether a type is a job's own subclass of `str`. Members of an Enum are found by names."""
    is_text = isinstance(bare, type) and issubclass(bare, str) and bare is not str
    return is_text and not _is_enum(bare)


def _no_text(value: Any) -> str:
    raise ValueError(value)


def described(wanted: Any) -> str:
    """Describe an argument of that type, with an article: `a whole number`."""
    for meta in getattr(wanted, "__metadata__", ()):
        if isinstance(meta, msgspec.Meta) and meta.description:
            article = "an" if meta.description[0].lower() in "aeiou" else "a"
            return f"{article} {meta.description}"
    wanted, _ = _bare(wanted)
    origin = typing.get_origin(wanted)
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, typing.get_args(wanted)))}"
    if origin in (typing.Union, types.UnionType):
        members = sorted(typing.get_args(wanted), key=lambda kind: kind is type(None))
        return " or ".join(described(member) for member in members)
    if _is_enum(wanted):
        names = ", ".join(wanted.__members__)
        several = issubclass(wanted, enum.Flag)
        return f"some of {names}, with | between them" if several else f"one of {names}"
    if wanted in _DESCRIPTIONS:
        return _DESCRIPTIONS[wanted]
    name = wanted.__name__ if isinstance(wanted, type) and origin is None else str(wanted)
    name = re.sub(r"[\w<>]+\.", "", name)
    if (origin or wanted) in (dict, collections.abc.Mapping):
        return f'a {name} as JSON text, such as {{"a": 1}}'
    if (origin or wanted) in _LISTS:
        return f"a {name} as JSON text, such as [{', '.join(_examples(wanted))}]"
    return f"a {name}"


def says_all(wanted: Any) -> bool:
    """Whether `described` is enough, so that a library's error would add nothing."""
    if any(isinstance(m, msgspec.Meta) and m.description for m in _metas(wanted)):
        return True
    return not any(isinstance(meta, msgspec.Meta) for meta in _metas(wanted))


def _metas(wanted: Any) -> tuple[Any, ...]:
    return tuple(getattr(wanted, "__metadata__", ()))


def _examples(wanted: Any) -> list[str]:
    args = [one for one in typing.get_args(wanted) if one is not Ellipsis]
    kind: Any = args[0] if args else int
    if _is_enum(kind):
        return [f'"{name}"' for name in list(kind.__members__)[:2]]
    return {int: ["1", "2"], float: ["1.5", "2"]}.get(kind, ['"a"', '"b"'])


def _bare(wanted: Any) -> tuple[Any, tuple[Any, ...]]:
    """The type behind aliases, and the `Meta` of its `Annotated`."""
    metas: tuple[Any, ...] = ()
    while True:
        if hasattr(wanted, "__metadata__"):
            metas += tuple(m for m in wanted.__metadata__ if isinstance(m, msgspec.Meta))
            wanted = wanted.__origin__
        elif hasattr(wanted, "__supertype__"):  # NewType
            wanted = wanted.__supertype__
        elif hasattr(wanted, "__value__"):  # type X = ...
            wanted = wanted.__value__
        elif isinstance(wanted, typing.TypeVar):
            wanted = wanted.__bound__ or Any
        else:
            return wanted, metas


def _of(text: str, wanted: Any) -> Any:
    if wanted in _TEXTS:
        return text
    if wanted is bool:
        if text.lower() not in _BOOLS:
            raise ValueError(text)
        return _BOOLS[text.lower()]
    if wanted in (int, float, complex):
        return wanted(text)
    if typing.get_origin(wanted) in (typing.Union, types.UnionType):
        return _union(text, typing.get_args(wanted))
    if _is_enum(wanted):
        return _member(text, wanted)
    if wanted in _ISO:
        return _ISO[wanted](text)
    return _plain(text, wanted)


def _union(text: str, members: tuple[Any, ...]) -> Any:
    """Convert by the first member that accepts the text. `str` accepts any, so it is the last."""
    texts = [member for member in members if _bare(member)[0] in _TEXTS]
    others = [member for member in members if member not in texts]
    if type(None) in members and not texts and text.lower() in _NOTHING:
        return None
    for member in (*(one for one in others if one is not type(None)), *texts):
        try:
            return converted(text, member)
        except (ValueError, ArithmeticError):
            continue
    raise ValueError(text)


def _is_enum(wanted: Any) -> bool:
    return isinstance(wanted, type) and issubclass(wanted, enum.Enum)


def _member(text: str, wanted: type[enum.Enum]) -> enum.Enum:
    """Find a member by its name, else by its value as text. Flags may be several: `A|B`."""
    if text in wanted.__members__:
        return wanted.__members__[text]
    for member in wanted:
        if str(member.value) == text:
            return member
    names = [name.strip() for name in text.split("|")]
    if issubclass(wanted, enum.Flag) and all(name in wanted.__members__ for name in names):
        flags = wanted(0)
        for name in names:
            flags |= wanted[name]
        return flags
    raise ValueError(text)


def _plain(text: str, wanted: Any) -> Any:
    """Convert by msgspec: the text itself, else the text as JSON."""
    origin = typing.get_origin(wanted) or wanted
    try:
        return _by_msgspec(text, wanted)
    except (TypeError, NotImplementedError):
        if origin in _LISTS:
            return _items(text, wanted, origin)
        raise CannotBeGivenError(text) from None


def _by_msgspec(text: str, wanted: Any) -> Any:
    try:
        return msgspec.convert(text, wanted, strict=False, dec_hook=_made)
    except msgspec.ValidationError as error:
        try:
            return msgspec.json.decode(text, type=wanted, strict=False, dec_hook=_made)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            if text[:1] in ("[", "{"):
                raise
            raise error from None


def _items(text: str, wanted: Any, origin: Any) -> Any:
    """Convert a list of values that msgspec can't convert, such as names of Enum members."""
    import json  # late: few jobs have such a parameter

    items = json.loads(text)
    args = [one for one in typing.get_args(wanted) if one is not Ellipsis]
    if not isinstance(items, list) or (origin is tuple and 1 < len(args) != len(items)):
        raise ValueError(text)
    kinds = args if len(args) == len(items) else [args[0] if args else Any] * len(items)
    made = [
        converted(item if isinstance(item, str) else json.dumps(item), kind)
        for item, kind in zip(items, kinds, strict=True)
    ]
    return _LISTS[origin](made)


def _made(wanted: type, value: Any) -> Any:
    """Make an object of a type that msgspec does not know, such as Path."""
    if not isinstance(wanted, type) or inspect.isabstract(wanted) or wanted is type:
        raise NotImplementedError
    return wanted(value)


def _checked(value: Any, wanted: Any, metas: tuple[Any, ...]) -> Any:
    """Check the bounds of `Annotated[..., msgspec.Meta(ge=1)]`.

    The value's own type is checked. For `int | None` that is int, because None has no bounds.
    """
    kind = type(value)
    if kind not in (int, float, str, bytes, list, tuple, set, frozenset, dict):
        return value  # msgspec has no bounds for this type
    for meta in metas:
        msgspec.convert(value, typing.Annotated[kind, meta])
    return value
