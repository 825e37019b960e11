"""Whatever a campaign and a row have, the message is one that RFC 5322 and MIME allow.

Python's own parser reads it with `email.policy.strict`, which raises on any defect.
"""

from __future__ import annotations

import re
from email import message_from_string, policy
from email.errors import NonASCIILocalPartDefect
from email.header import decode_header, make_header
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from jobs.mailing.addresses import mailbox, one_line
from jobs.mailing.campaign import Campaign
from jobs.mailing.letter.message import made

STRICT = policy.strict.clone(max_line_length=None)
MOST = 998
"""The most bytes of a line, without its end (RFC 5322, 2.1.1)."""

TEXTS = st.text(
    st.sampled_from("aB.,\"'\\()<>@;: =?_&\r\n\t\0\x0b\x85\u2028é🌱\ud800\x7f"), max_size=60
)
NASTY = (
    "🌱" * 300,
    "Grüße " * 200,
    "a" * 2000,
    'Smith, "Bob" (the \\ builder) <bob@evil.example>',
    "=?utf-8?q?x?=",
    ".\n..\n.",
    "a\rb\nc\r\nd",
    " \t ",
    "line\n\n\n",
    "From here\nFrom there",
)


def letter(to: str = "ann@example.org", name: str = "", **asked: Any) -> bytes:
    """The bytes of a message, which are checked."""
    given = {"out": "/nowhere", "sender": "News <news@example.org>", "text": "Hello", **asked}
    who = mailbox(to, name)
    message = made(Campaign(**given), "0" * 32, who, {"email": to}, verbatim=True)
    check(message.data, utf8=message.needs_utf8)
    return message.data


def check(raw: bytes, *, utf8: bool) -> None:
    """Fail if a message breaks a rule. utf8: it goes by SMTPUTF8 (RFC 6532)."""
    assert raw.endswith(b"\r\n")
    lines = raw.split(b"\r\n")
    assert max(map(len, lines)) <= MOST
    assert not any(re.search(rb"[\r\n\0]", line) for line in lines)
    assert raw.isascii() or utf8
    for part in parsed(raw).walk():
        assert isinstance(part, EmailMessage)
        assert part.defects == []
        for field, value in part.items():
            # The parser knows nothing of RFC 6532.
            found = [one for one in value.defects if not isinstance(one, NonASCIILocalPartDefect)]
            assert found == [], (field, value)


def parsed(raw: bytes) -> EmailMessage:
    found = message_from_string(raw.decode(), policy=STRICT)
    assert isinstance(found, EmailMessage)
    return found


def lines_of(text: str) -> list[str]:
    """The lines of a text that goes through mail: any end is an end."""
    return re.split(r"\r\n|\r|\n", text)


@given(subject=TEXTS, name=TEXTS)
@example(subject=NASTY[0], name=NASTY[3])
@example(subject=NASTY[1], name=NASTY[0])
@example(subject=NASTY[2], name=NASTY[2])
@example(subject=NASTY[4], name=NASTY[4])
def test_a_subject_and_a_name_come_back_as_one_line(subject: str, name: str) -> None:
    raw = letter(name=name, subject=subject)
    assert parsed(raw)["subject"] == one_line(subject)
    (to,) = parsed(raw)["to"].addresses
    assert to.addr_spec == "ann@example.org"
    shown = one_line(name)[:200].rstrip()
    if shown.isascii() and "=?" not in shown:  # the parser puts spaces between encoded words
        assert to.display_name == shown


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("html", [False, True])
def test_a_body_comes_back_line_by_line(text: str, html: bool) -> None:
    asked = {"html": f"<p>{text}</p>"} if html else {}
    found = parsed(letter(text=text, **asked))
    body = found.get_body(("plain",))
    assert body is not None
    assert lines_of(body.get_content().rstrip("\r\n")) == lines_of(text.rstrip("\r\n"))
    if html:
        page = found.get_body(("html",))
        assert page is not None
        assert lines_of(page.get_content().rstrip("\r\n")) == lines_of(f"<p>{text}</p>")


@given(text=TEXTS, html=TEXTS)
def test_any_body_breaks_no_rule(text: str, html: str) -> None:
    letter(text=text or "x", html=html)


@pytest.mark.parametrize("field", ["sender", "reply_to"])
@pytest.mark.parametrize("name", ["", "Zoë Ångström " * 20, 'O"Brien, Pat', "ann@home"])
@pytest.mark.parametrize("address", ["jörg@example.org", "ann@müller.example", "ann@example.org"])
def test_people_of_a_campaign_break_no_rule(field: str, name: str, address: str) -> None:
    quoted = '"' + name.replace('"', '\\"') + '"'
    raw = letter(**{field: f"{quoted} <{address}>"})
    header = {"sender": "from", "reply_to": "reply-to"}[field]
    (found,) = parsed(raw)[header].addresses
    assert found.username == address.partition("@")[0]


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.text(
        st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60
    )
)
@example("prices ä, \"new\"; x=1 'y' %41.csv")
@example("Ж" * 100 + ".pdf")
@example("a" * 200 + ".pdf")
@example("🌱.png")
@example("line\nend.png")
@example(" ")
def test_files_of_any_name_break_no_rule(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    try:
        path.write_bytes(b"data")
    except OSError:  # such as `.`, or a name that is too long for the disk
        return
    try:
        found = parsed(letter(attach=[str(path)], inline=[str(path)], html="<p>x</p>"))
        (attached,) = found.iter_attachments()
        assert attached.get_filename() == (one_line(name) or "file")
        assert attached.get_content() == b"data"
    finally:
        path.unlink()


def test_a_name_in_foreign_letters_comes_back_by_the_rules_of_encoded_words() -> None:
    raw = letter(name="Zoë " + "Ångström " * 18)
    to = raw.partition(b"\r\nTo: ")[2].partition(b" <ann@example.org>")[0].decode()
    assert str(make_header(decode_header(to))) == ("Zoë " + "Ångström " * 18).strip()
