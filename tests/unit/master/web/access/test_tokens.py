"""Tokens and cookies: what gives which right, and what does not."""

from __future__ import annotations

import pytest

from master.web.access.cookies import KEPT_S, Cookies, Visitor
from master.web.access.tokens import Right, Tokens

TOKENS = Tokens("the token for reading", "the token for acting")


@pytest.mark.parametrize(
    ("shown", "right"),
    [
        ("the token for reading", Right.READ),
        ("the token for acting", Right.ACT),
        ("", Right.NONE),
        ("the token for reading ", Right.NONE),
        ("the token for actinG", Right.NONE),
        ("\ud800", Right.NONE),
    ],
)
def test_a_token_gives_its_right_alone(shown: str, right: Right) -> None:
    assert TOKENS.right_of(shown) is right


def test_tokens_do_not_stand_in_a_traceback() -> None:
    assert "token for" not in repr(TOKENS)


@pytest.mark.parametrize(("right", "lasts_s"), [(Right.READ, 2_592_000), (Right.ACT, 43_200)])
def test_a_cookie_gives_the_right_of_its_token_until_its_end(right: Right, lasts_s: int) -> None:
    cookies = Cookies(TOKENS)
    value = cookies.make(right, 1_000.0)
    header = f"other=1; {cookies.name}={value}"
    assert cookies.read(header, 1_000.0) == (right, value)
    assert cookies.read(header, 999.0 + lasts_s)[0] is right
    assert cookies.read(header, 1_001.0 + lasts_s)[0] is Right.NONE
    kept_s = lasts_s + KEPT_S  # the clock of the browser may be set
    assert f"Max-Age={kept_s};" in cookies.header(right, 1_000.0, secure=False)
    assert TOKENS.of(right) not in value


def test_a_cookie_that_somebody_has_made_gives_none() -> None:
    cookies = Cookies(TOKENS)
    said, _, seal = cookies.make(Right.READ, 1_000.0).rpartition(".")
    more = said.replace("read", "act")
    later = f"{said.rpartition('.')[0]}.9999999999"
    for forged in (
        f"{more}.{seal}",
        f"{later}.{seal}",
        f"{said}.\u00e9",
        f"{said}.",
        said,
        "act",
        "..",
        "read.x.y",
    ):
        assert cookies.read(f"{cookies.name}={forged}", 1_000.0)[0] is Right.NONE, forged
    assert cookies.read("\x00;;=;", 1_000.0)[0] is Right.NONE


def test_a_new_token_ends_the_cookies_of_the_old_one() -> None:
    value = Cookies(TOKENS).make(Right.ACT, 1_000.0)
    newer = Cookies(Tokens("the token for reading", "another"))
    assert newer.read(f"{newer.name}={value}", 1_000.0)[0] is Right.NONE


def test_two_installations_on_one_host_have_two_cookies() -> None:
    assert Cookies(TOKENS).name != Cookies(Tokens("a", "b")).name


def test_a_cookie_is_not_for_scripts_nor_for_other_sites() -> None:
    plain = Cookies(TOKENS).header(Right.READ, 1_000.0, secure=False)
    assert "; HttpOnly; SameSite=Strict" in plain
    assert "Secure" not in plain
    assert Cookies(TOKENS).header(Right.READ, 1_000.0, secure=True).endswith("; Secure")


def test_the_field_of_a_form_is_that_of_one_cookie() -> None:
    cookies = Cookies(TOKENS)
    one = Visitor(Right.ACT, cookies.make(Right.ACT, 1_000.0))
    other = Visitor(Right.ACT, cookies.make(Right.ACT, 2_000.0))
    assert cookies.is_form_field(one, cookies.form_field(one))
    assert not cookies.is_form_field(one, cookies.form_field(other))
    assert not cookies.is_form_field(one, "")
    assert not cookies.is_form_field(one, "\ud800")


def test_a_line_of_the_log_says_who_it_was_without_the_secret() -> None:
    proof = Cookies(TOKENS).make(Right.ACT, 1_000.0)
    assert Visitor(Right.ACT, proof, "192.0.2.1").name == (
        "a browser at 192.0.2.1 with the token `act`"
    )
    assert Visitor(Right.READ, "", "192.0.2.1").name.startswith("a program at")
