"""What is kept on the shared disk: the ledger, the suppressed, notes; and how lists are read."""

from __future__ import annotations

import csv
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from jobs import mail
from jobs.mailing.addresses import mailbox
from jobs.mailing.campaign import Campaign, load, save
from jobs.mailing.keep.ledger import Fate, Ledger
from jobs.mailing.keep.notes import Held, Notes, Trouble
from jobs.mailing.keep.reporting import Totals, write_report
from jobs.mailing.keep.suppression import Suppression
from jobs.mailing.recipients import rows
from jobs.mailing.send.errors import NotSent, Refused
from jobs.mailing.send.pace import Pace, limit_of
from queue_manager import Counts


def test_a_message_that_was_sent_is_not_begun_again(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path))
    assert ledger.fate("m", "1.1", again=True) is Fate.NEW
    assert ledger.begin("m")
    ledger.sent("m")
    assert ledger.fate("m", "1.1", again=True) is Fate.SENT
    assert not ledger.begin("m")
    assert ledger.fate("m", "1.1", again=True) is Fate.SENT


def test_of_two_workers_with_one_message_only_one_begins(tmp_path: Path) -> None:
    first, second = Ledger(str(tmp_path)), Ledger(str(tmp_path))
    assert first.begin("m")
    assert not second.begin("m")
    first.let_go()
    assert not second.begin("m")
    assert second.begin("m", allow_twice=True)


def test_a_message_that_was_begun_is_unknown_until_it_is_cleared(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path))
    ledger.begin("m")
    other = Ledger(str(tmp_path))
    assert other.fate("m", "1.1", again=True) is Fate.BUSY
    ledger.let_go()
    assert other.fate("m", "1.1", again=True) is Fate.UNKNOWN
    assert ledger.begin("m", allow_twice=True)
    ledger.clear("m")  # what another try has begun
    assert other.fate("m", "1.1", again=True) is Fate.UNKNOWN


def test_a_message_that_was_cleared_is_new(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path))
    ledger.begin("m")
    ledger.clear("m")
    assert ledger.fate("m", "1.1", again=True) is Fate.NEW


def test_only_the_first_try_behind_a_retry_with_a_reason_sends_it(
    tmp_path: Path,
) -> None:
    ledger = Ledger(str(tmp_path))
    ledger.begin("m")
    ledger.tell("m", "1.1")
    # The worker was killed before the master had the dead letter: the second try comes again.
    assert ledger.fate("m", "1.1", again=False) is Fate.UNKNOWN
    # Another run of the campaign is no decision.
    assert ledger.fate("m", "2.1", again=True) is Fate.UNKNOWN
    assert ledger.fate("m", "1.1", again=True) is Fate.NEW
    assert ledger.fate("m", "1.1", again=False) is Fate.NEW


def test_a_worker_that_was_taken_for_dead_may_still_say_that_it_has_sent(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path))
    ledger.begin("m")
    ledger.tell("m", "1.1")
    ledger.sent("m")
    assert ledger.fate("m", "1.1", again=True) is Fate.SENT


def test_the_suppressed_are_looked_up_while_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    listed = Suppression(str(path))
    ann, bob = mailbox("ann@example.org"), mailbox("bob@müller.example")
    assert not listed.has(ann)
    path.write_text("# comment\nANN@example.org  # asked for it")
    assert listed.has(ann)
    listed.add(bob, "550 5.1.1\nnobody")
    assert listed.has(bob)
    assert path.read_text().splitlines()[2] == "bob@xn--mller-kva.example  # 550 5.1.1 nobody"
    listed.add(bob, "again")
    assert len(path.read_text().splitlines()) == 3
    path.write_text("@example.org\n")
    assert listed.has(ann)
    assert not listed.has(bob)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "\ufeffName;E-Mail;email\nAnn;x;ann@example.org\nBad;x;nonsense\n"),
        ("a.csv", 'name,EMAIL\n"Ann",ann@example.org,\nBad,\n'),
        ("a.jsonl", '{"email": "ann@example.org", "name": "Ann"}\n{"email": 7}\n'),
    ],
)
def test_lists_are_read_and_a_bad_row_is_told_by_its_number(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    good, bad = rows(str(tmp_path / name))
    assert good.mailbox == mailbox("ann@example.org", "Ann") or good.fields["Name"] == "Ann"
    assert bad.mailbox is None
    assert bad.wrong.startswith("row 2: ")


def test_a_list_without_addresses_says_which_columns_it_has(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name,city\nAnn,Rome\n")
    with pytest.raises(ValueError, match="which has name, city"):
        list(rows(str(tmp_path / "a.csv")))


def test_a_file_of_a_campaign_is_named_by_its_content(tmp_path: Path) -> None:
    first, second = Campaign(str(tmp_path), name="a"), Campaign(str(tmp_path), name="b")
    assert save(first) == save(first) != save(second)
    assert load(str(tmp_path), save(second)) == second
    with pytest.raises(ValueError, match="no file of a campaign"):
        load(str(tmp_path), "../secret")


def test_a_file_of_a_campaign_that_a_crash_left_empty_is_written_again(tmp_path: Path) -> None:
    campaign = Campaign(str(tmp_path), name="empty")
    name = save(campaign)
    (tmp_path / "asked" / name).write_bytes(b"")
    assert load(str(tmp_path), save(campaign)) == campaign


def test_when_a_campaign_began_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(mail, "datetime", None)  # as if it ended here
        with pytest.raises(AttributeError):
            mail._begun(str(tmp_path))
    began = mail._begun(str(tmp_path))
    assert datetime.fromisoformat(began) <= datetime.now(UTC)
    assert mail._begun(str(tmp_path)) == began
    assert [path.name for path in tmp_path.iterdir()] == ["begun"]


@pytest.mark.parametrize(
    ("code", "words", "for_good", "too_many", "hard"),
    [
        (550, "5.1.1 no such user", True, False, True),
        (550, "5.7.1 blocked, see 5.1.1", True, False, False),
        (550, "5.1.8 bad sender", True, False, False),
        (451, "4.7.1 greylisted", False, False, False),
        (421, "bye", False, True, False),
        (451, "4.7.1 Too many messages", False, True, False),
        (450, "4.2.1 too many messages to this mailbox", False, False, False),
        (452, "4.2.2 quota exceeded", False, False, False),
        (452, "4.5.3 too many recipients", False, False, False),
        (421, "4.2.1 bye", False, True, False),
        (550, "blocked, see 5.1.1", True, False, False),
        (550, "#5.1.1 nobody", True, False, True),
        (550, "5.7.1 not 5.1.1", True, False, False),
    ],
)
def test_answers_of_servers(
    code: int, words: str, for_good: bool, too_many: bool, hard: bool
) -> None:
    found = Refused(code, words)
    assert (found.for_good, found.too_many, found.hard) == (for_good, too_many, hard)


@pytest.mark.parametrize(
    ("words", "ends"),
    [
        ("4.7.0 too many messages from you", False),
        ("4.7.0 deferred: complaints of users", False),
        ("4.4.2 timeout exceeded", True),
        ("too many messages in this session", True),
        ("bye", True),
    ],
)
def test_a_421_is_about_the_session_or_about_the_sender(words: str, ends: bool) -> None:
    assert Refused(421, words).ends_session is ends
    assert not Refused(451, words).ends_session


def test_a_warm_up_doubles_each_day() -> None:
    since = datetime(2026, 12, 1, tzinfo=UTC)
    campaign = Campaign("/x", warmup=100, since=since.isoformat(), at_once=3, per_minute=6)
    spaces = [limit_of(campaign, since + timedelta(days=day, hours=1)).every_s for day in range(9)]
    assert spaces[:3] == [864.0, 432.0, 216.0]
    assert spaces[-1] == 10.0  # then per_minute is less
    assert limit_of(campaign, since).at_once == 3


def test_the_pace_of_a_server_is_that_of_all_processes(tmp_path: Path) -> None:
    one, other = Pace(tmp_path, 50.0), Pace(tmp_path, 50.0)
    began = time.monotonic()
    for _ in range(5):
        one.wait(1.0)
        other.wait(1.0)
    assert time.monotonic() - began >= 9 * 0.02
    slow = Pace(tmp_path / "slow", 0.001)
    slow.wait(1.0)
    with pytest.raises(NotSent, match="no turn within"):
        slow.wait(1.0)


def test_the_report_has_every_message_once_and_escapes_what_servers_say(tmp_path: Path) -> None:
    notes = Notes(str(tmp_path))
    evil = "550 <script>alert(1)</script>"
    notes.trouble(Trouble("1", "ann@example.org", "waiting", "451 later", 1.0))
    notes.trouble(Trouble("2", "bob@example.org", "refused", evil, 2.0))
    notes.trouble(Trouble("3", "=cmd@example.org", "unknown", "broke", 3.0))
    sent = {"state": "sent", "server": "mx:25", "words": "250 ok", "at": 4.0, "id": "1"}
    done = [({"to": "ann@example.org"}, sent)]
    said, page = write_report(str(tmp_path), "spring", iter(done))
    assert said == "1 sent, 1 refused, 1 unknown"
    with (tmp_path / "report.csv").open() as file:
        told = {row["to"]: row["state"] for row in csv.DictReader(file)}
    states = {"ann@example.org": "sent", "bob@example.org": "refused"}
    assert told == {**states, "'=cmd@example.org": "unknown"}
    assert "<script>" not in page.read_text()
    assert "&lt;script&gt;" in page.read_text()


def test_a_report_that_breaks_off_leaves_the_table_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "report.csv").write_text("old")
    with pytest.raises(KeyError):
        write_report(str(tmp_path), "spring", iter([({"to": "ann@example.org"}, {})]))
    assert (tmp_path / "report.csv").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["report.csv"]


def test_the_table_is_not_written_through_a_link(tmp_path: Path) -> None:
    victim, out = tmp_path / "victim", tmp_path / "out"
    victim.write_text("precious")
    out.mkdir()
    for name in ("report.csv", f".report.{os.getpid()}", ".report.csv.part"):
        (out / name).symlink_to(victim)
    write_report(str(out), "spring", iter([]))
    assert victim.read_text() == "precious"
    assert (out / "report.csv").read_text().startswith("to,state")


def test_the_report_has_each_message_of_the_run_with_its_last_note(tmp_path: Path) -> None:
    notes, to = tmp_path / "notes", "ann@example.org"
    notes.mkdir()
    for name, told in {
        # The files of processes; the last one by name is not the last one by time.
        "a": [("1", "refused", 9.0, "now"), ("old", "refused", 1.0, "before")],
        "b": [("1", "waiting", 2.0, "now"), ("2", "refused", 3.0, "now")],
    }.items():
        lines = [Trouble(id, to, state, "no", at, submit) for id, state, at, submit in told]
        (notes / f"{name}.jsonl").write_bytes(b"\n".join(map(msgspec.json.encode, lines)))
    # Two messages to one address: what became of one says nothing about the other.
    done = [({"to": to, "submit": "now"}, {"state": "sent", "id": "3"})]
    assert write_report(str(tmp_path), "c", iter(done))[0] == "2 refused, 1 sent"
    assert write_report(str(tmp_path), "c", iter([]), "now")[0] == "2 refused"
    assert write_report(str(tmp_path), "c", iter([]))[0] == "3 refused"


def test_the_line_says_which_domain_waits(tmp_path: Path) -> None:
    totals = Totals()
    totals.notes = Notes(str(tmp_path))
    totals.add({"state": "sent"})
    totals.notes.hold(Held("a.example", time.time() + 50, "421 too many"))
    totals.notes.hold(Held("b.example", time.time() - 50, "421 over"))
    line = totals.line(Counts(3, 1, 1, 1, 0, 0, left_s=30.0, per_s=2.0))
    assert line.startswith("mail: 1 sent, 1 refused or unknown, 2.0 messages a second, about 30 s")
    assert "a.example waits" in line
    assert "b.example" not in line
