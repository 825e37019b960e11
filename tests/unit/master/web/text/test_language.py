"""Languages: the browser's wish, and what is known."""

from __future__ import annotations

import pytest

from master.web.text.language import chosen

KNOWN = {"en", "zh"}


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-GB,en;q=0.9,zh;q=0.8", "en"),
        ("zh;q=0.2,en;q=0.7", "en"),
        ("fr,zh;q=0.5", "zh"),
        ("fr", "en"),
        ("zh;q=0", "en"),
        ("zh;q=x,;;,=", "en"),
        ("x" * 100_000 + ",zh", "en"),
    ],
)
def test_the_language_is_that_which_the_browser_asks_for_most(header: str, language: str) -> None:
    assert chosen(header, KNOWN) == language
