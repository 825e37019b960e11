"""The arguments of a run: texts such as `count=10` become what a job's `tasks()` takes.

`finish()` takes those arguments that it names. This module owns the splitting and the conversion.
It knows nothing of runs.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from ..errors import ArgumentError, ProtocolError
from .conversion import CannotBeGivenError, converted, described, fitted, says_all

_SHOWN = 100
"""An error shows this many characters of a wrong value."""

PREVIOUS = "previous"
"""The parameter of `tasks` that takes the results of the runs that its run is after."""

_KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_PACKED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def split_arguments(text: str) -> list[str]:
    """Split a line into arguments as a shell does.

    Raises:
        ArgumentError: a quotation mark is not closed.
    """
    import shlex  # late: a slot never splits a line

    try:
        return shlex.split(text)
    except ValueError as error:
        raise ArgumentError(f"arguments {text!r}: {str(error).lower()}") from None


def decode_arguments(values: bytes) -> dict[str, Any]:
    """The arguments that were given as values: a dict of plain data, encoded. Empty is none.

    Raises:
        ArgumentError: the bytes are something else.
    """
    if not values:
        return {}
    from .. import codec  # late: most runs have none

    try:
        arguments = codec.decode(values)
    except ProtocolError as error:
        raise ArgumentError(f"the arguments can't be read: {error}") from None
    if type(arguments) is not dict or not all(type(name) is str for name in arguments):
        raise ArgumentError("the arguments are no dict with their names")
    return arguments


def shown_arguments(arguments: Mapping[str, Any]) -> list[str]:
    """Values as people see them, each as a text `name=value`. A long one is cut."""
    shown = []
    for name, value in arguments.items():
        text = " ".join(repr(value).split())
        shown.append(f"{name}={text if len(text) <= _SHOWN else text[:_SHOWN] + '...'}")
    return shown


def takes_previous(tasks: Callable[..., Any] | None) -> bool:
    """Whether `tasks` takes the results of the runs that its run is after."""
    return tasks is not None and PREVIOUS in inspect.signature(tasks).parameters


def parse_arguments(
    args: Sequence[str],
    tasks: Callable[..., Any] | None,
    values: Mapping[str, Any] | None = None,
    *,
    follows: bool = False,
) -> dict[str, Any]:
    """Convert `name=value` texts by the annotations of `tasks`, else by its defaults' types.

    Args:
        args: the texts.
        tasks: the job's function; None if it has none.
        values: more arguments, by their names. They are checked by `fitted`.
        follows: the run is after others, whose results `tasks` may take as `previous`. The caller
            adds them to what is returned.

    Raises:
        ArgumentError: a text is not of that form, a name or a value is wrong, or an argument is
            missing; one line.
    """
    parameters = dict(inspect.signature(tasks).parameters) if tasks is not None else {}
    named = named_parameters(tasks)
    others = [p for p in parameters.values() if p.kind is inspect.Parameter.VAR_KEYWORD]
    hints = _hints(tasks)
    arguments: dict[str, Any] = {}
    for name, value in (values or {}).items():
        if name not in named and not (others and name.isidentifier()):
            raise ArgumentError(_unknown(name, list(named), tasks))
        arguments[name] = _fit(name, value, named.get(name), hints)
    for arg in args:
        name, text = _split(arg, arguments)
        if name in named:
            arguments[name] = _convert(name, text, _wanted(named[name], hints))
        elif others and name.isidentifier():
            arguments[name] = _convert(name, text, _wanted(others[0], hints))
        else:
            raise ArgumentError(_unknown(name, list(named), tasks))
    _check_complete(arguments, tasks, follows)
    return arguments


def _check_complete(
    arguments: Mapping[str, Any], tasks: Callable[..., Any] | None, follows: bool
) -> None:
    """Raise ArgumentError if an argument is missing. follows: as for `parse_arguments`."""
    named = named_parameters(tasks)
    missing = [n for n, p in named.items() if p.default is p.empty and n not in arguments]
    if missing:
        raise ArgumentError(f"missing {_list(missing)}: give {' '.join(f'{n}=…' for n in missing)}")
    if tasks is None or follows:
        return
    previous = inspect.signature(tasks).parameters.get(PREVIOUS)
    if previous is not None and previous.default is inspect.Signature.empty:
        raise ArgumentError(
            f"tasks() takes the results of other runs ({PREVIOUS}): say after which, with --after"
        )


def finish_trouble(finish: Callable[..., Any], tasks: Callable[..., Any] | None) -> str:
    """Describe in one line what is wrong with a job's `finish`; empty if nothing is."""
    if not is_plain_function(finish):
        return "finish() is a plain function, neither async nor with a yield"
    first, others = _finish_parameters(finish)
    if first is None:
        return "finish() takes the results first: def finish(results)"
    named = named_parameters(tasks)
    for name, p in others.items():
        if p.kind in _PACKED or p.default is not p.empty:
            continue
        if p.kind not in _KINDS:
            return f"finish() takes {name!r} by position alone: its arguments are given by name"
        if name not in named:
            return f"finish() takes {name!r}, which tasks() does not have: give it a default"
    return ""


def report_trouble(report: Callable[..., Any]) -> str:
    """Describe in one line what is wrong with a job's `report`; empty if nothing is."""
    if not is_plain_function(report):
        return "report() is a plain function, neither async nor with a yield"
    try:
        inspect.signature(report).bind(None)
    except TypeError:
        return "report() takes the counts and nothing else: def report(counts)"
    return ""


def is_plain_function(function: Callable[..., Any]) -> bool:
    """Whether a call runs a function to its end, and gives what it returns."""
    return not (
        inspect.iscoroutinefunction(function)
        or inspect.isgeneratorfunction(function)
        or inspect.isasyncgenfunction(function)
    )


def finish_arguments(
    finish: Callable[..., Any],
    tasks: Callable[..., Any] | None,
    args: Sequence[str],
    values: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The arguments for `finish`: those of the run, and defaults of `tasks`, that it names.

    args, values: as in `parse_arguments`.

    Raises:
        ArgumentError: as `parse_arguments`.
    """
    defaults = {
        name: p.default for name, p in named_parameters(tasks).items() if p.default is not p.empty
    }
    arguments = {**defaults, **parse_arguments(args, tasks, values, follows=True)}
    first, others = _finish_parameters(finish)
    if first is not None and first.kind in _KINDS:
        arguments.pop(first.name, None)
    if any(p.kind is p.VAR_KEYWORD for p in others.values()):
        return arguments
    named = {name for name, p in others.items() if p.kind in _KINDS}
    return {name: value for name, value in arguments.items() if name in named}


def _finish_parameters(
    finish: Callable[..., Any],
) -> tuple[inspect.Parameter | None, dict[str, inspect.Parameter]]:
    """The parameter that takes the results, or None; and the other parameters."""
    parameters = dict(inspect.signature(finish).parameters)
    first = next(iter(parameters.values()), None)
    if first is None or first.kind in (first.KEYWORD_ONLY, first.VAR_KEYWORD):
        return None, parameters
    return parameters.pop(first.name), parameters


def wanted_type(parameter: inspect.Parameter, tasks: Callable[..., Any] | None) -> Any:
    """The type to which a text for a parameter of `tasks` is converted."""
    return _wanted(parameter, _hints(tasks))


def named_parameters(tasks: Callable[..., Any] | None) -> dict[str, inspect.Parameter]:
    """The parameters of `tasks` that are given by name, without the results of other runs."""
    parameters = dict(inspect.signature(tasks).parameters) if tasks is not None else {}
    return {n: p for n, p in parameters.items() if p.kind in _KINDS and n != PREVIOUS}


def _split(arg: str, arguments: dict[str, Any]) -> tuple[str, str]:
    name, equals, text = arg.partition("=")
    if not equals or not name:
        raise ArgumentError(f"argument {arg!r} is not of the form name=value")
    if name in arguments:
        raise ArgumentError(f"argument {name!r} is given twice")
    return name, text


def _unknown(name: str, names: list[str], tasks: Callable[..., Any] | None) -> str:
    if name == PREVIOUS and takes_previous(tasks):
        return f"{PREVIOUS!r} is the results of other runs: say after which, with --after"
    if not names:
        why = "takes no arguments" if tasks is not None else "has no tasks() to take arguments"
        return f"unknown argument {name!r}: the job {why}"
    import difflib  # late: most names are right

    near = difflib.get_close_matches(name, names, 1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"unknown argument {name!r}{hint}: the job takes {', '.join(names)}"


def _list(names: list[str]) -> str:
    noun = "argument" if len(names) == 1 else "arguments"
    return f"{noun} {', '.join(map(repr, names))}"


def _hints(tasks: Callable[..., Any] | None) -> dict[str, Any]:
    """The resolved annotations. One that can't be resolved is left out, or counts as `Any`."""
    if tasks is None:
        return {}
    function = inspect.unwrap(tasks)
    if not inspect.isroutine(function):
        function = type(function).__call__
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception:
        raw = getattr(function, "__annotations__", {})
        return {name: _resolved(hint, function) for name, hint in raw.items()}


def _resolved(hint: Any, function: Any) -> Any:
    if not isinstance(hint, str):
        return hint
    try:
        return eval(hint, getattr(function, "__globals__", {}))  # the text is the job's own code
    except Exception:
        return Any


def _wanted(parameter: inspect.Parameter, hints: dict[str, Any]) -> Any:
    hint = hints.get(parameter.name, Any)
    if hint is not Any:
        return hint
    if parameter.default is parameter.empty or parameter.default is None:
        return str
    return type(parameter.default)


def _fit(
    name: str, value: Any, parameter: inspect.Parameter | None, hints: Mapping[str, Any]
) -> Any:
    """A value that a program gives, checked by the annotation. A default needs no check."""
    if parameter is None or (value is None and parameter.default is None):
        return value
    wanted = hints.get(name, Any)
    return _made(name, value, wanted, fitted)


def _convert(name: str, text: str, wanted: Any) -> Any:
    return _made(name, text, wanted, converted)


def _made(name: str, value: Any, wanted: Any, make: Callable[[Any, Any], Any]) -> Any:
    try:
        return make(value, wanted)
    except CannotBeGivenError:
        kind = described(wanted)
        raise ArgumentError(
            f"argument {name!r} is {kind}, which no command line can give"
        ) from None
    except Exception as error:  # a constructor of the job's own may raise anything
        bound = isinstance(error, msgspec.ValidationError) and not says_all(wanted)
        said = f" ({error})" if bound else ""
        shown = _cut(value)
        raise ArgumentError(
            f"argument {name!r} is {described(wanted)}, not {shown}{said}"
        ) from None


def _cut(value: Any) -> str:
    if isinstance(value, str) and value[_SHOWN:]:
        return f"{value[:_SHOWN]!r} ... ({len(value):,} characters)"
    text = repr(value)
    return text if isinstance(value, str) or not text[_SHOWN:] else f"{text[:_SHOWN]}..."
