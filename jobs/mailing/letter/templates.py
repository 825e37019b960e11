"""Templates: Jinja2 in its sandbox, which keeps a template from anything but the row's values.

HTML is escaped, subjects and texts are not. A name that a row does not have is an error, not a gap
in a letter.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jinja2
import jinja2.runtime
from inscriptis import get_text
from inscriptis.model.config import ParserConfig
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

_MOST_SIZE = 1_000_000
_AS_TEXT = ParserConfig(display_links=True, display_anchors=False)


class _Sandbox(ImmutableSandboxedEnvironment):
    """A sandbox in which no product or power takes minutes, or all memory."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(
        self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any
    ) -> Any:
        if _size(operator, left, right) > _MOST_SIZE:
            raise SecurityError(f"{operator} makes something too large for a letter")
        return super().call_binop(context, operator, left, right)


def _size(operator: str, left: Any, right: Any) -> int:
    """The bits of a whole number, or the items of a text or a list, that an operator makes."""
    if isinstance(left, int) and isinstance(right, int):
        if operator == "**":
            return left.bit_length() * max(0, right)
        return left.bit_length() + right.bit_length()
    if isinstance(right, int) and hasattr(left, "__len__"):
        return len(left) * right
    if isinstance(left, int) and hasattr(right, "__len__"):
        return left * len(right)
    return 0


@functools.lru_cache(maxsize=2)
def _environment(html: bool) -> _Sandbox:
    return _Sandbox(autoescape=html, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)


@functools.lru_cache(maxsize=256)
def _compiled(source: str, html: bool) -> jinja2.Template:
    return _environment(html).from_string(source)


def check(source: str, html: bool) -> None:
    """Raises ValueError if a text is no template: the line, and what is wrong."""
    try:
        _environment(html).parse(source)
    except jinja2.TemplateSyntaxError as error:
        raise ValueError(f"line {error.lineno}: {error.message}") from None


def render(source: str, values: Mapping[str, Any], *, html: bool) -> str:
    """A template with the values of a row.

    Raises:
        ValueError: the template does not go with these values. The text says why.
    """
    if "{" not in source:
        return source
    try:
        return _compiled(source, html).render(values)
    except Exception as error:  # a template may do whatever Python's operators do
        raise ValueError(f"the template and this row: {error}") from None


def as_text(html: str) -> str:
    """What a reader without HTML gets: the words, lists and tables, links with their addresses."""
    lines = (line.rstrip() for line in get_text(html, _AS_TEXT).splitlines())
    return "\n".join(lines).strip() + "\n"
