"""The words of `qm failed` and `qm retry` that choose dead letters."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from queue_manager.errors import ArgumentError

from .kinds import NUMBER

if TYPE_CHECKING:
    from queue_manager.wire.failures import FailureFilter

F = TypeVar("F", bound=Callable[..., Any])


class _Moment(click.ParamType[datetime]):
    """A time as ISO 8601 writes it. Without a zone it is local time."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        try:
            return datetime.fromisoformat(str(value))
        except ValueError:
            raise click.UsageError(
                f"{value!r} is no time, such as 2026-05-04T12:00 or 2026-05-04T10:00Z", ctx
            ) from None


_OPTIONS = (
    click.argument("tasks", type=NUMBER, nargs=-1, metavar="[TASK]..."),
    click.option(
        "--error",
        default="",
        metavar="EXCEPTION[@PLACE]",
        help="Those of that exception, raised at that place, such as ValueError@lines.py:12.",
    ),
    click.option(
        "--worker", default="", metavar="NAME", help="Those that this worker, or host, tried last."
    ),
    click.option("--since", type=_Moment(), metavar="TIME", help="Those that died then or later."),
    click.option("--until", type=_Moment(), metavar="TIME", help="Those that died before then."),
)


def choosing(command: F) -> F:
    """Give a command the words that choose dead letters of its RUN."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def chosen_of(words: dict[str, Any]) -> FailureFilter | None:
    """The filter that these words say; None: all dead letters. Raises UsageError."""
    from queue_manager.client.runs.choosing import filter_of

    try:
        return filter_of(**words | {"tasks": words["tasks"] or None})
    except ArgumentError as error:
        raise click.UsageError(str(error)) from None


def checked_reason(reason: str) -> str:
    """The reason of a retry. Raises UsageError if it can't travel."""
    from queue_manager.client.runs.choosing import reason_of

    try:
        return reason_of(reason)
    except ArgumentError as error:
        raise click.UsageError(str(error)) from None
