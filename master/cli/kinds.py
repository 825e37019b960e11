"""The kinds of words that `qm` takes: how each is read, and how a shell completes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_MAX_DIGITS = 18  # such a number is below 2**62


class _Number(click.ParamType[int]):
    """The number of a run or a task, as `qm status` prints it."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS):
            what = self.name if param is None else _OF.get(param.name or "", param.name)
            raise click.UsageError(f"{text!r} is no number of a {what}, such as 1", ctx)
        return int(text)


class _Which(click.ParamType["int | str"]):
    """A run: its number, or its key. A text of digits is a number."""

    name = "run"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        text = str(value)
        if not text:
            raise click.UsageError("'' is neither the number of a run nor its key", ctx)
        is_number = text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS
        return int(text) if is_number else text

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from .completing import items_of

        return items_of(self.name, incomplete)


class _Named(click.ParamType[str]):
    """The name of something that a master knows. name: of its kind."""

    def __init__(self, name: str) -> None:
        self.name = name

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from .completing import items_of

        return items_of(self.name, incomplete)


class _Path(click.ParamType[str]):
    """A path, which the shell completes. Whether it can be used is told by who uses it.

    kind: file or dir, as click calls them.
    """

    name = "path"

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type=self._kind)]


NUMBER, WHICH, JOB, SCHEDULE = _Number(), _Which(), _Named("job"), _Named("schedule")
FILE, FOLDER = _Path("file"), _Path("dir")
_OF = {"after": "run", "tasks": "task"}
"""What the number of an option is, where the option is not called so."""
