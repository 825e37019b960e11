"""Arguments of one submit that don't go together, and messages of `to=` with a template."""

from __future__ import annotations

from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from jobs import mail
from jobs.mailing.asked import Files, Template
from jobs.mailing.letter.letter import letter_of
from jobs.mailing.letter.message import made
from jobs.mailing.together import check_together


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def only_task(**asked: Any) -> dict[str, Any]:
    (task,) = mail.tasks(sender="news@example.org", **asked)
    assert isinstance(task.payload, dict)
    return task.payload


def texts(payload: dict[str, Any]) -> tuple[str, str]:
    """The subject and the first text of the message that a payload asks for."""
    letter = letter_of(payload)
    message = made(letter.campaign, letter.id, letter.to, letter.values, verbatim=letter.verbatim)
    found = message_from_bytes(message.data, policy=policy.default)
    body = found.get_body(("plain",))
    assert body is not None
    return found["subject"], body.get_content().strip()


def test_a_template_for_one_recipient_is_filled(tmp_path: Path) -> None:
    page = written(tmp_path / "a.txt", "Hello {{ name }}, this goes to {{ to }}.")
    payload = only_task(
        to="Ann <ann@example.org>",
        template=Template(page),
        subject="For {{ name }}",
        out=str(tmp_path / "out"),
    )
    assert texts(payload) == ("For Ann", "Hello Ann, this goes to ann@example.org.")


def test_a_text_for_one_recipient_is_sent_as_it_is(tmp_path: Path) -> None:
    asked = {"subject": "100 {{ % }", "text": "{{ name }}", "out": str(tmp_path / "out")}
    assert texts(only_task(to="ann@example.org", **asked)) == ("100 {{ % }", "{{ name }}")


@pytest.mark.parametrize(
    ("page", "subject", "to", "missing"),
    [
        ("{{ code }}", "", "Ann <ann@example.org>", "'code' is undefined"),
        ("{{ name }}", "", "ann@example.org", "'name' is undefined"),
        ("x", "{{ code }}", "ann@example.org", "'code' is undefined"),
    ],
)
def test_a_variable_that_one_recipient_does_not_have_is_refused(
    page: str, subject: str, to: str, missing: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "a.html", page)
    with pytest.raises(ValueError, match=missing):
        mail.run_key("", path, subject, "", "", "", "", to, False)
    check_together(path, "", "", subject, "")  # a list has a row for each message


@pytest.mark.parametrize(
    "shown", ["<img src='cid:logo.png'>", "<p style='background: url(cid:logo.png)'>"]
)
def test_a_picture_that_is_not_given_is_refused(shown: str, tmp_path: Path) -> None:
    page, logo = written(tmp_path / "a.html", shown), written(tmp_path / "logo.png", "x")
    other = written(tmp_path / "other.png", "x")
    for inline in ("", other):
        with pytest.raises(ValueError, match=r"cid:logo\.png, and inline= has no file"):
            mail.run_key("/list.csv", page, "", "", "", inline, "spring", "", False)
    check_together(page, Files(f"{other},{logo}"), "", "", "")


def test_a_picture_with_a_variable_in_its_name_may_be_any(tmp_path: Path) -> None:
    page = written(tmp_path / "a.html", '<img src="cid:{{ logo }}.png"> see cid:x.png')
    check_together(page, "", "", "", "")


def test_single_messages_go_where_those_of_programs_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_OUT", str(tmp_path / "single"))
    monkeypatch.setenv("MAIL_FROM", "news@example.org")
    payload = only_task(to="ann@example.org", text="Hello")
    put = letter_of({"id": "1", "to": "ann@example.org", "text": "Hello"})
    submitted = letter_of(payload).campaign
    assert payload["out"] == submitted.out == put.campaign.out == str(tmp_path / "single")
    assert submitted.suppressed == put.campaign.suppressed == str(tmp_path / "suppressed.txt")


@pytest.mark.parametrize("source", ["{{ 7**(7**9) }}", "{{ 'x' * 10**9 }}", "{{ 10**9 * [1] }}"])
def test_a_template_that_makes_something_huge_is_wrong(source: str, tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", source)
    with pytest.raises(ValueError, match="too large for a letter"):
        check_together(path, "", "ann@example.org", "", "")


def test_a_template_may_compute(tmp_path: Path) -> None:
    page = Template(written(tmp_path / "a.txt", "{{ 3 * 4.5 }} {{ '-' * 3 }} {{ 2**10 }}"))
    payload = only_task(to="ann@example.org", template=page, out=str(tmp_path / "out"))
    assert texts(payload)[1] == "13.5 --- 1024"


def test_rows_with_an_address_that_was_there_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "email\nann@example.org\nANN@Example.org\nbob@example.org\nann@example.org\n"
    path, out = written(tmp_path / "list.csv", rows), str(tmp_path / "out")
    given: dict[str, Any] = {"campaign": "spring", "out": out}
    made_tasks = list(mail.tasks(path, text="Hello", sender="news@example.org", **given))
    assert len({task.key for task in made_tasks}) == 2
    mail.finish(iter(()), **given)
    said = "; 2 rows more for an address that stands in the list twice: it gets one message"
    assert capsys.readouterr().out.splitlines()[0].endswith(said)
    next(mail.tasks(to="bob@example.org", text="Hello", out=out, sender="news@example.org"))
