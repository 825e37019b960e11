"""`run_key` of a job: the key that a run has by its arguments, if it is asked for without one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError, BadJobError
from ..terminal import is_text, text_of
from .arguments import is_plain_function, named_parameters

if TYPE_CHECKING:
    from .loading import Job


def run_key_trouble(run_key: Callable[..., Any], tasks: Callable[..., Any] | None) -> str:
    """Describe in one line what is wrong with a job's `run_key`; empty if nothing is."""
    if not is_plain_function(run_key):
        return "run_key() is a plain function, neither async nor with a yield"
    known = named_parameters(tasks)
    for name, parameter in inspect.signature(run_key).parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            return f"run_key() takes {name!r} not by its name alone: its arguments are given so"
        if name not in known:
            return f"run_key() takes {name!r}, which tasks() does not have"
    return ""


def key_of_run(job: Job, arguments: Mapping[str, Any]) -> str:
    """The key of a run that is asked for without one, `JOB:TEXT`; empty if it has none.

    arguments: those that are given for `tasks`, converted. Its defaults stand for the others.

    Raises:
        ArgumentError: `run_key` has refused the arguments with a ValueError, whose text it has.
        BadJobError: it raises anything else, or returns neither a text that can travel nor
            None; one line.
    """
    if job.run_key is None:
        return ""
    named = named_parameters(job.tasks)
    taken = inspect.signature(job.run_key).parameters
    try:
        text = job.run_key(**{name: arguments.get(name, named[name].default) for name in taken})
    except Exception as error:
        said = " ".join(text_of(error).split())
        if type(error) is ValueError and said:
            raise ArgumentError(said) from None
        said = f"{type(error).__name__}: {said}"
        raise BadJobError(f"{job.name}.run_key(): {said}") from None
    if text is not None and not isinstance(text, str):
        raise BadJobError(f"{job.name}.run_key() returns a text or None, not {text!r:.100}")
    if text is not None and not is_text(text):
        raise BadJobError(f"{job.name}.run_key() returns {text!a:.100}, which is no Unicode text")
    return f"{job.name}:{text}" if text else ""
