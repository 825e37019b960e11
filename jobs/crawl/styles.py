"""What a style sheet refers to: pictures by `url(...)`, other sheets by `@import` (tinycss2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import tinycss2

_NESTING = ("{} block", "[] block", "() block")


def pictures_of_style(text: str) -> list[str]:
    """The references of declarations, such as those of a `style` attribute."""
    if "url(" not in text.lower():  # most have none, and the tokenizer takes its time
        return []
    return list(_urls(tinycss2.parse_component_value_list(text)))


def references_of_sheet(text: str) -> tuple[list[str], list[str]]:
    """(pictures, sheets) that a style sheet refers to, as they are written in it.

    Fonts are references too; what they are is told when they are fetched.
    """
    if "url(" not in text.lower() and "@import" not in text.lower():
        return [], []
    pictures: list[str] = []
    sheets: list[str] = []
    for rule in tinycss2.parse_stylesheet(text, skip_comments=True, skip_whitespace=True):
        if rule.type == "at-rule" and rule.lower_at_keyword == "import":
            sheets += _imported(rule.prelude)
        elif rule.type == "at-rule" and rule.lower_at_keyword in ("font-face", "namespace"):
            continue
        else:
            for part in (getattr(rule, "prelude", None), getattr(rule, "content", None)):
                pictures += _urls(part or [])
    return pictures, sheets


def _imported(prelude: Iterable[Any]) -> list[str]:
    for token in prelude:
        if token.type == "string":
            return [token.value]
        if found := list(_urls([token])):
            return found
    return []


def _urls(tokens: Iterable[Any]) -> Iterator[str]:
    for token in tokens:
        if token.type == "url":
            yield token.value
        elif token.type == "function":
            if token.lower_name in ("url", "src"):
                yield from (t.value for t in token.arguments if t.type == "string")
            elif token.lower_name in ("image-set", "-webkit-image-set"):
                yield from (t.value for t in token.arguments if t.type == "string")
                yield from _urls(token.arguments)
            else:
                yield from _urls(token.arguments)
        elif token.type in _NESTING:
            yield from _urls(token.content)
