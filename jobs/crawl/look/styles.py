"""What a style sheet refers to: pictures by `url(...)`, other sheets by `@import` (tinycss2)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import tinycss2

_NESTING = ("{} block", "[] block", "() block")
_OF_TEXT = ("url", "src")
_SETS = ("image-set", "-webkit-image-set")
_REFERRING = re.compile(r"url\(|src\(|image-set\(|@import|\\", re.IGNORECASE)
"""Most styles have none of these, and the tokenizer is slow. A backslash may hide one."""


def pictures_of_style(text: str) -> list[str]:
    """The references of declarations, such as those of a `style` attribute."""
    if not _REFERRING.search(text):
        return []
    return list(_urls(tinycss2.parse_component_value_list(text)))


def references_of_sheet(text: str) -> tuple[list[str], list[str]]:
    """(pictures, sheets) that a style sheet refers to, as they are written in it.

    Fonts are among them: only the answer tells that a file is a font.
    """
    if not _REFERRING.search(text):
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
    """The addresses in their order. No recursion: a page may nest tokens deep on purpose."""
    nested = [iter(tokens)]
    while nested:
        token = next(nested[-1], None)
        if token is None:
            nested.pop()
        elif token.type == "url":
            yield token.value
        elif token.type == "function":
            if token.lower_name in (*_OF_TEXT, *_SETS):
                yield from (t.value for t in token.arguments if t.type == "string")
            if token.lower_name not in (*_OF_TEXT, "type"):
                nested.append(iter(token.arguments))
        elif token.type in _NESTING:
            nested.append(iter(token.content))
