"""The list of the suppressed: whatever way people write it, nobody on it gets mail."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jobs import mail
from jobs.mailing.addresses import mailbox
from jobs.mailing.keep.suppression import Suppression
from jobs.output.words import cell

ANN, BOB = mailbox("ann@example.org"), mailbox("bob@müller.example")


def test_a_line_that_is_added_or_taken_out_anywhere_counts_at_once(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("x@example.org\n")
    listed = Suppression(str(path))
    assert not listed.has(ANN)
    path.write_text("ann@example.org\nx@example.org\n")
    assert listed.has(ANN)
    path.write_text("ANN@example.com\nx@example.org\n")  # as long as before
    os.utime(path, ns=(1, 1))
    assert not listed.has(ANN)
    with path.open("a") as file:
        file.write("bob@xn--mller-kva.example\n")
    assert listed.has(BOB)
    assert not listed.has(ANN)


def test_a_last_line_that_grows_is_no_whole_domain_of_another(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("@example.org")
    listed = Suppression(str(path))
    assert listed.has(ANN)
    with path.open("a") as file:
        file.write(".uk\n")
    assert not listed.has(ANN)


@pytest.mark.parametrize(
    "line",
    [
        "\ufeffann@example.org",
        "email\nann@example.org",
        "ann@example.org,2026-01-01",
        "ann@example.org;2026-01-01",
        "ann@example.org unsubscribed",
        "ann@example.org\tunsubscribed",
        '"Ann@Example.org","asked for it"',
        "'ann@example.org'",
        "<ann@example.org>",
        "Ann <ann@example.org>  # asked for it",
        ",ann@example.org",
        "@EXAMPLE.org, all of it",
        "ann@example.org\r\n",
    ],
)
def test_a_line_is_understood_as_people_write_it(tmp_path: Path, line: str) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(f"{line}\nx@example.org\n".encode())
    listed = Suppression(str(path))
    assert listed.has(ANN)
    assert listed.wrong() == []


def test_a_hash_inside_an_address_begins_no_comment(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("a#b@example.org\n#ann@example.org\n")
    listed = Suppression(str(path))
    assert listed.has(mailbox("a#b@example.org"))
    assert not listed.has(mailbox("a@example.org"))
    assert not listed.has(ANN)


@pytest.mark.parametrize("text", ["-ann@example.org", "+ann@example.org", "=ann@example.org"])
def test_a_line_of_a_report_keeps_its_address_from_getting_mail(tmp_path: Path, text: str) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"to,state\n{cell(text)},refused\n'bob@example.org\n")
    listed = Suppression(str(path))
    assert listed.has(mailbox(text))
    assert listed.has(mailbox("bob@example.org"))
    assert listed.has(mailbox("'bob@example.org"))
    assert not listed.has(ANN)


@pytest.mark.parametrize("text", ["'@example.org", "'bob@example.org", "#bob@example.org"])
def test_an_odd_address_is_added_once_and_nobody_else(tmp_path: Path, text: str) -> None:
    path = tmp_path / "list.txt"
    for _ in range(2):
        Suppression(str(path)).add(mailbox(text), "550 nobody")
    listed = Suppression(str(path))
    assert listed.has(mailbox(text))
    assert listed.wrong() == []
    assert len(path.read_text().splitlines()) == 1
    assert not listed.has(mailbox("bob@example.org"))


def test_lines_that_are_no_address_are_told_when_the_campaign_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "list.txt"
    path.write_text("# begin\n\nann\nann@example.org\nx@xn--a.example\nann@@example.org, x")
    out = str(tmp_path / "out")
    list(mail.tasks(to="bob@example.org", text="x", suppressed=str(path), out=out))
    told = capsys.readouterr().out
    assert told == f"mail: {path} has lines that are no address, 3 in all: 3, 5, 6\n"
    with pytest.raises(ValueError, match="can't be read: Is a directory"):
        list(mail.tasks(to="bob@example.org", text="x", suppressed=str(tmp_path), out=out))
