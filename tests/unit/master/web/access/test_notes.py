"""What the page after an action says: only what we have said, and only to its visitor."""

from __future__ import annotations

from master.web.access.cookies import Cookies, Visitor
from master.web.access.notes import Note, Notes
from master.web.access.tokens import Right, Tokens

NOTES = Notes(Cookies(Tokens("the token for reading", "the token for acting")))
VISITOR = Visitor(Right.ACT, "a cookie", "192.0.2.1")
NOTE = Note("retry", {"run": 3, "name": "\N{SNOWMAN};<b>"})


def cookie(header: str) -> str:
    return header.partition("; ")[0]


def test_a_note_comes_back_once_it_was_set() -> None:
    header = NOTES.header(VISITOR, NOTE, secure=False)
    assert "HttpOnly" in header
    assert "Secure" not in header
    assert NOTES.header(VISITOR, NOTE, secure=True).endswith("; Secure")
    assert NOTES.read(VISITOR, cookie(header)) == NOTE
    assert NOTES.read(VISITOR, cookie(NOTES.gone())) is None


def test_a_note_of_another_visitor_or_another_maker_is_none() -> None:
    sent = cookie(NOTES.header(VISITOR, NOTE, secure=False))
    assert NOTES.read(Visitor(Right.ACT, "another cookie"), sent) is None
    assert NOTES.read(Visitor(Right.READ, "a cookie"), sent) is None
    assert NOTES.read(VISITOR, sent.replace("=", "=x", 1)) is None
    assert NOTES.read(VISITOR, "") is None
    assert NOTES.read(VISITOR, f"{NOTES.name}=only-text") is None
    others = Notes(Cookies(Tokens("the token for reading", "a newer token")))
    assert others.read(VISITOR, sent) is None


def test_a_note_that_no_browser_would_keep_is_not_sent() -> None:
    long = Note("retry", {"name": "x" * 4_000})
    assert NOTES.header(VISITOR, long, secure=False) == NOTES.gone()
