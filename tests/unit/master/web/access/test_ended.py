"""Visits that have ended by a log-out: their cookies open nothing, also after a start."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from master.web.access import ended as module
from master.web.access.cookies import Cookies, Visitor
from master.web.access.ended import Ended
from master.web.access.tokens import Right, Tokens
from tests.unit.master.web.loops import in_loop

TOKENS = Tokens("the token for reading", "the token for acting")
NOW = 1_000.0


def right_of(cookies: Cookies, value: str) -> Right:
    return cookies.read(f"{cookies.name}={value}", NOW)[0]


@in_loop
async def test_a_log_out_ends_this_visit_alone() -> None:
    cookies = Cookies(TOKENS)
    one, other = (cookies.make(Right.ACT, NOW) for _ in range(2))
    await cookies.end(Visitor(Right.ACT, one), NOW)
    assert right_of(cookies, one) is Right.NONE
    assert right_of(cookies, other) is Right.ACT


def test_it_holds_over_starts(tmp_path: Path) -> None:
    path = tmp_path / "ended"
    value = Cookies(TOKENS).make(Right.READ, NOW)

    @in_loop
    async def leave() -> None:
        await Cookies(TOKENS, Ended(path)).end(Visitor(Right.READ, value), NOW)

    leave()
    assert right_of(Cookies(TOKENS, Ended(path)), value) is Right.NONE
    assert value not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


@in_loop
async def test_what_is_kept_is_bounded_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    ended = Ended()
    for number in range(5):
        await ended.note(f"cookie {number}", 2_000 + number, NOW)
    assert [ended.has(f"cookie {number}") for number in range(5)] == [
        False,
        False,
        True,
        True,
        True,
    ]
    await ended.note("new", 9_000, 2_003.5)
    assert [ended.has(f"cookie {number}") for number in (3, 4)] == [False, True]


@pytest.mark.parametrize("text", [b"", b"[]", b"\xff", b'{"a": "b"}'])
def test_a_file_that_is_none_of_ours_is_one_line(
    text: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "ended").write_bytes(text)
    with caplog.at_level(logging.WARNING):
        assert not Ended(tmp_path / "ended").has("x")
    assert "can't be read" in caplog.text


@in_loop
async def test_a_file_that_can_not_be_written_still_ends_the_visit(tmp_path: Path) -> None:
    ended = Ended(tmp_path / "nowhere" / "ended")
    await ended.note("cookie", 2_000, NOW)
    assert ended.has("cookie")
