"""Addresses: the quick way for plain ones says what the checks of the library say."""

from __future__ import annotations

from pathlib import Path

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jobs.mailing.addresses import mailbox
from jobs.mailing.keep.suppression import _PLAIN_LINE, Suppression, _listed

PARTS = st.text(st.sampled_from("aZ0é.-_+'!ß\u0301 @\"\u212a"), max_size=12)
DOMAINS = st.sampled_from(
    [
        "example.org",
        "Example.ORG",
        "müller.example",
        "xn--mller-kva.example",
        "a",
        "a..b",
        "-a.b",
        "x_y.example",
        "localhost",
        "a.invalid",
        "a" * 64 + ".org",
        "1.2.3.4",
        "[1.2.3.4]",
        "a.b.",
    ]
)


def as_the_library_says(text: str) -> tuple[str, str, str] | None:
    try:
        found = validate_email(text, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        return None
    return found.local_part, found.domain, found.ascii_domain.lower()


def ours(text: str) -> tuple[str, str, str] | None:
    try:
        found = mailbox(text)
    except ValueError:
        return None
    return found.local, found.domain, found.ascii_domain


@given(PARTS, DOMAINS)
@example("a" * 64, "example.org")
@example("a" * 65, "example.org")
@example("a", ".".join(["b" * 62] * 4))
@example("aaa", ".".join(["b" * 62] * 4))
def test_the_quick_way_says_what_the_library_says(local: str, domain: str) -> None:
    text = f"{local}@{domain}".strip()
    assert ours(text) == as_the_library_says(text)


@given(st.text(st.sampled_from("aZ0é.-_+'!ß\u0301\u212a"), min_size=1, max_size=9), DOMAINS)
def test_an_address_on_the_list_of_the_suppressed_is_found_however_it_is_written(
    local: str, domain: str
) -> None:
    if ours(text := f"{local}@{domain}") is not None and not text.startswith("'"):
        assert _listed(text, first=False) == mailbox(text).key


LINE_PARTS = [
    *"a1Z'#\"-_.@,; \t\r<>",
    "xn--",
    "--",
    "é",
    "example.org",
    "a.invalid",
    "b" * 32,
    "'-",
]


@settings(max_examples=500)
@given(st.lists(st.sampled_from(LINE_PARTS), max_size=8), st.sampled_from(["", "a", "'-a", "#a"]))
@example(["'-", "ann"], "")
@example(["xn--", "a.example"], "")
@example(["b.", "b" * 64, ".org"], "")
@example(["b." * 126, "org"], "")
def test_the_quick_way_through_a_list_of_the_suppressed_says_what_the_careful_one_says(
    parts: list[str], local: str
) -> None:
    for line in (f"{''.join(parts)}@example.org\n", f"{local}@{''.join(parts)}\n"):
        plain = _PLAIN_LINE.fullmatch(line.lower().encode())
        assert plain is None or plain[1].decode() == _listed(line, first=False)


@pytest.mark.parametrize("rest", ["", "  # 550 <no>", ",2026-01-01", ";x", "\tx", " <", "\r"])
def test_what_stands_behind_an_address_is_no_part_of_it(tmp_path: Path, rest: str) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(f"x@example.org\nO'Neil+a@example.org{rest}\n".encode())
    listed = Suppression(str(path))
    assert listed.has(mailbox("o'neil+a@example.org"))
    assert not listed.has(mailbox("o'neil+b@example.org"))
