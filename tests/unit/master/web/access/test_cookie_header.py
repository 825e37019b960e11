"""One cookie out of a header: only ours, and no header makes it slow."""

from __future__ import annotations

import pytest

from master.web.access.cookie_header import MOST, value_of


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("ours=a.b=c", "a.b=c"),
        ("other=1; ours=2; more=3", "2"),
        ("ours=1;ours=2", "2"),
        ("yours=1; ours-said=2", ""),
        ("ours", ""),
        ("", ""),
        ("\x00;;=;", ""),
        ("ours=" + "x" * MOST, "x" * MOST),
        ("ours=" + "x" * (MOST + 1), ""),
    ],
)
def test_a_cookie_is_found_by_its_whole_name(header: str, value: str) -> None:
    assert value_of(header, "ours") == value


@pytest.mark.parametrize("room", ["cookies", "notes"])
def test_no_cookie_is_read_by_a_parser_that_some_pythons_have_slow(room: str) -> None:
    """CVE-2024-7592: with those, 15 KB of backslashes in quotation marks take seconds."""
    module = __import__(f"master.web.access.{room}", fromlist=[room])
    assert module.value_of is value_of
    quoted = 'ours="' + "\\" * 15_000 + '"'
    assert value_of(quoted, "ours") == ""
    assert not hasattr(module, "SimpleCookie")
