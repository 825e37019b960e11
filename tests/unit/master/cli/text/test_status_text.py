"""What `status` prints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from master.cli.text.status_text import duration, master_lines, status_json, status_lines
from queue_manager.wire.masters import MasterStatus
from queue_manager.wire.messages import RunList, SessionList, Status
from queue_manager.wire.records import QuotaStatus, Running, RunStatus, SessionStatus
from queue_manager.wire.usage import LargestSlot, Usage


def run(number: int, args: list[str], **fields: Any) -> RunStatus:
    values = {"run": number, "job": "job", "args": args, "state": "active", "tasks": 1_234}
    values |= {"waiting": 1, "leased": 2, "delayed": 3, "done": 4, "dead": 5, "exhausted": True}
    values |= {"collect_errors": 0, "started_at": 0.0, "ended_at": None}
    return RunStatus(**(values | fields))


def lines(*runs: RunStatus, sessions: Any = (), why: Any = ()) -> list[str]:
    status = Status(1, "9.9", "here:5", 61.0, 0, list(why), 0, 0, 0)
    return list(
        status_lines(
            status, RunList(1, list(runs), 0, True), SessionList(1, list(sessions), 0, True)
        )
    )


DOCUMENTED = Path(__file__).parents[5] / "docs" / "operations.md"


def counted(number: int, state: str, job: str, *words: str, **counts: int) -> RunStatus:
    """A run with no tasks but these."""
    none = dict.fromkeys(("tasks", "waiting", "leased", "delayed", "done", "dead"), 0)
    return run(number, list(words), state=state, job=job, **(none | counts))


def worker(name: str, address: str, *tasks: int, tags: Sequence[str] = ()) -> SessionStatus:
    """A worker that has run tasks of run 3 for 2.6 s, one in each slot."""
    running = [Running(3, task, 2.6) for task in tasks]
    slots, where = len(tasks), ("", address, "0.1.0")
    return SessionStatus("worker", name, slots, slots, 2.6, 66.0, *where, list(tags), running)


def test_the_example_in_the_documents_is_what_is_printed() -> None:
    text = DOCUMENTED.read_text().partition("## What `qm status` says\n\n```\n")[2]
    runs = [
        counted(0, "active", "square"),
        counted(3, "active", "sleepy", "count=9", "s=3", tasks=9, waiting=2, leased=7),
        counted(2, "failed", "crash", tasks=6, done=1, dead=5),
        counted(1, "done", "square", tasks=10, done=10),
    ]
    where = ("", "172.18.0.2:53290", "0.1.0")
    sessions = [
        worker("2fa762cc96dc/7", "172.18.0.3:46114", 2),
        worker("a953667bd63a/7", "172.18.0.4:46128", 1, 3, 5, 6, 8, 9, tags=["bigmem", "gpu"]),
        SessionStatus("client", "50f8dd334c90/162", 0, 0, 0.0, 0.0, *where),
    ]
    status = Status(1, "0.1.0", "0.0.0.0:5000", 66.0, 8, [], 2, 2, 3)
    parts = RunList(1, runs, 0, True), SessionList(1, sessions, 0, True)
    assert text.partition("\n```")[0].splitlines() == list(status_lines(status, *parts))


def test_arguments_are_never_cut() -> None:
    words = ["start=http://a.b/" + "c" * 60, "name=two words"]
    (line,) = [line for line in lines(run(3, words)) if line.startswith("    3")]
    assert line.endswith(f"  job {words[0]} 'name=two words'")
    assert line.split()[:3] == ["3", "active", "1,234"]


def test_the_queue_run_names_the_job_that_runs_its_tasks() -> None:
    assert lines(run(0, []))[3].endswith("(queue) job")
    assert lines(run(0, [], job=""))[3].endswith("(queue)")


def test_cancelled_tasks_have_a_column_only_where_there_are_some() -> None:
    assert "cancelled" not in "\n".join(lines(run(1, [])))
    head, line = lines(run(1, [], cancelled=77))[2:4]
    assert head.split().index("cancelled") == line.split().index("77")


def test_a_run_with_a_key_names_it() -> None:
    assert lines(run(1, [], key="a night\n"))[4] == "       key 'a night\\n'"
    seed = lines(run(1, ["count=3"], key="job count=3"))
    assert "key" not in "\n".join(seed), "the key of a seed says nothing new"


def test_reasons_stand_below_what_they_are_of() -> None:
    found = lines(run(1, [], why=["no worker", "other"], collect_errors=2), why=["disk full"])
    assert found[1] == "  ! disk full"
    assert found[5:8] == [
        "       ! no worker",
        "       ! other",
        "       ! collect(), report() or finish() raised 2 times: see the master's log",
    ]


def test_the_runs_that_a_run_was_after_stand_below_it_once_it_has_begun() -> None:
    shown = lines(run(7, [], after=[3]), run(8, [], after=[3, 4]), run(9, [], state="pending"))
    assert [line.strip() for line in shown if "after" in line] == ["after run 3", "after runs 3, 4"]
    waits = run(9, [], state="pending", after=[3], why=["waits for run 3"])
    assert [line.strip() for line in lines(waits)][-1] == "! waits for run 3"


def test_a_quota_says_what_it_let_in_and_what_it_dropped() -> None:
    quotas = [QuotaStatus("images", 20, 0), QuotaStatus("pages", 1_000, 321)]
    assert lines(run(1, [], quotas=quotas))[4:6] == [
        "       quota images: 20 accepted",
        "       quota pages: 1,000 accepted, 321 more dropped",
    ]


def session(**fields: Any) -> SessionStatus:
    values: dict[str, Any] = {"role": "worker", "name": "2fa762cc96dc/7", "slots": 2, "held": 3}
    values |= {"oldest_s": 1.5, "connected_s": 7_300.0, "address": "172.18.0.3:41234"}
    return SessionStatus(**(values | {"version": "0.1.0"} | fields))


def table(*sessions: SessionStatus) -> list[str]:
    """The lines of the sessions."""
    found = lines(sessions=sessions)
    return found[next(i for i, line in enumerate(found) if line.startswith("session")) :]


def test_a_session_shows_where_it_is_and_for_how_long_it_is_connected() -> None:
    head, line = table(session(slots=1))
    assert head.split() == [
        "session", "name", "address", "version", "connected", "slots", "holds", "oldest",
    ]  # fmt: skip
    assert line.split() == [
        "worker", "2fa762cc96dc/7", "172.18.0.3:41234", "0.1.0", "2", "h", "1", "3", "1.5", "s",
    ]  # fmt: skip
    for word, value in (("address", "172.18"), ("version", "0.1.0")):
        assert head.index(word) == line.index(value)


def test_tags_have_a_column_only_where_there_are_some() -> None:
    assert "tags" not in "\n".join(table(session()))
    head, tagged, plain = table(session(tags=["bigmem", "gpu"]), session())
    assert head.index("tags") == tagged.index("bigmem,gpu")
    assert plain.endswith("1.5 s")


def test_the_python_of_workers_is_told_where_it_differs() -> None:
    same = table(session(tags=["gpu", "python3.11"]), session(tags=["python3.11"]))
    assert "python" not in "\n".join(same)
    assert same[1].endswith("gpu")
    assert "tags" not in "\n".join(table(session(tags=["python3.11"])))
    other = table(session(tags=["gpu", "python3.11"]), session(tags=["python3.13"]))
    assert [line.split()[-1] for line in other] == ["tags", "gpu,python3.11", "python3.13"]


def test_a_note_stands_at_the_end_of_its_line() -> None:
    noted = session(role="stock", note="a note", slots=0, version="", address="")
    assert table(session(tags=["gpu"]), noted)[-1].endswith("1.5 s  a note")


def test_what_a_worker_runs_stands_below_it() -> None:
    tasks = [Running(6, 12, 2.64), Running(6, 13, 0.41)]
    line = table(session(running=tasks), session())[2]
    assert line == "        runs 6/12 for 2.6 s, 6/13 for 0.4 s"


def test_of_many_running_tasks_the_oldest_are_named() -> None:
    tasks = [Running(6, 12 + n, 7_300.0) for n in range(1_204)]
    line = table(session(running=tasks))[2]
    assert line.endswith("runs 6/12 for 2 h, 6/13 for 2 h, 6/14 for 2 h, 6/15 for 2 h, +1,200 more")
    assert not table(session(running=tasks[:4]))[2].endswith("more")


def test_what_a_worker_takes_stands_below_it() -> None:
    usage = Usage(1_288_490_189, 4 * 1024**3, 1.7, 2.0, LargestSlot(810 * 1024**2, 3, 12))
    *_, line = table(session(usage=usage))
    wanted = "uses 1.2 GiB of 4.0 GiB, 1.7 of 2 processors, largest slot 810.0 MiB (3/12)"
    assert line == f"        {wanted}"
    assert f"`{wanted}`" in DOCUMENTED.read_text()
    *_, line = table(session(usage=Usage(512, largest=LargestSlot(512))))
    assert line == "        uses 512 B, largest slot 512 B"


def test_with_usual_values_no_line_of_a_session_is_longer_than_120() -> None:
    tasks = [Running(1_234, 1_234_567, 59.9)] * 9
    usage = Usage(10**11, 10**12, 100.0, 128.0, LargestSlot(10**11, 1_234, 1_234_567))
    tags = ["bigmem", "gpu"]
    usual = session(name="host-17.example/12345", tags=tags, running=tasks, usage=usage)
    assert max(map(len, table(usual))) <= 120


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (119.0, "119 s"), (120.0, "2 min"), (7_200.0, "2 h"), (200_000.0, "2 days")],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_what_is_left_out_is_counted() -> None:
    status = Status(1, "9.9", "here:5", 61.0, 0, [], 0, 0, 0)
    runs, sessions = RunList(1, [run(1, [])], 0, False, 65_000), SessionList(1, [], 0, True)
    line = list(status_lines(status, runs, sessions))[-1]
    assert line == "       ... and 65,000 more: qm status --all"


def test_masters_that_share_a_store_are_told_as_the_documents_show() -> None:
    since = datetime(2026, 11, 28, 20, 36, 5, tzinfo=UTC).timestamp()
    masters = [
        MasterStatus("master", "master:5000", True, since, 1.2),
        MasterStatus("master2", "master2:5000", False, since + 4, 0.9),
        MasterStatus("m\x1b3", "", False, since, 500.0),
    ]
    lines = list(master_lines(masters))
    text = DOCUMENTED.read_text("utf-8")
    assert all(line in text.splitlines() for line in lines[:2]), lines
    assert lines[2].startswith("  away     m")
    assert "\x1b" not in lines[2]


def test_the_status_as_json_has_the_role_of_each_master() -> None:
    master = MasterStatus("a", "a:5000", False, 1.0, 0.5, "0.1.0")
    status = Status(1, "0.1.0", "a:5000", 3.0, 0, [], 1, 0, 1, [], [master])
    told = json.loads(status_json(status, RunList(1, [], 0, True), SessionList(1, [], 0, True)))
    assert told["masters"] == [
        {"role": "standby", "name": "a", "address": "a:5000", "active": False}
        | {"since": 1.0, "lag_s": 0.5, "version": "0.1.0"}
    ]
    assert (told["runs"], told["sessions"], told["version"]) == ([], [], "0.1.0")
