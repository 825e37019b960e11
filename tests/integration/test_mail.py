"""Mail through real processes to servers that refuse and break off, read from their own records."""

from __future__ import annotations

import random
import re
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.integration.processes import REPO, Master, eventually
from tests.mail_server import MailServer, by_chance

SENDER = "News <news@example.org>"


@pytest.fixture
def mail_master(start_master: Callable[..., Master]) -> Master:
    """A master with the job `mail`."""
    master = start_master(MAIL_FROM=SENDER)
    shutil.copy(REPO / "jobs" / "mail.py", master.jobs)
    for name in ("mailing", "output"):
        (master.jobs / name).symlink_to(REPO / "jobs" / name)
    return master


def recipients(folder: Path, count: int, domains: int = 4) -> tuple[str, list[str]]:
    """A list of recipients in a file; gives its path and the addresses."""
    addresses = [f"reader{n}@d{n % domains}.example.org" for n in range(count)]
    path = folder / "list.csv"
    path.write_text("email,name\n" + "".join(f"{one},Reader {one}\n" for one in addresses))
    return f"recipients={path}", addresses


def submit(master: Master, *words: str, **arguments: Any) -> int:
    """Submit mail in clear, into the folder `out`."""
    given = {"tls": "off", "out": master.folder / "out" / "campaign", "text": "Hello", **arguments}
    return master.submit("mail", *words, *(f"{name}={value}" for name, value in given.items()))


def failed(master: Master, run: int) -> dict[str, str]:
    """The error of each dead letter, by its recipient."""
    return {
        row["payload"]["to"]: row["error"] for row in master.results(run) if row["state"] != "done"
    }


def has_taken(server: MailServer, count: int) -> bool:
    """Whether a server has so many messages."""
    return server.taken.total() >= count


@pytest.mark.timeout(400)
def test_nothing_is_lost_and_nothing_sent_twice_while_workers_and_the_master_are_killed(
    mail_master: Master,
) -> None:
    master, chance = mail_master, random.Random(7)
    list_, addresses = recipients(master.folder, 600)
    shares = {"soft": 0.05, "hard": 0.01, "before": 0.02, "in": 0.01, "after": 0.02}
    with MailServer(by_chance(7, **shares)) as server:
        server.answer_s = 0.05
        run = submit(master, list_, campaign="c", subject="s", server=server.address, retry_s=0.2)
        workers = [master.worker() for _ in range(2)]
        for kill in range(6):
            eventually(partial(has_taken, server, (kill + 1) * 60), 120.0, "messages")
            victim = workers.pop(0)
            victim.kill()
            if kill == 3:
                master.process.kill()
                master.serve()
            workers.append(master.worker())
            time.sleep(chance.uniform(0, 0.05))
        rows = master.ended_tasks(run, len(addresses), 200.0)
    assert len(rows) == len(addresses)
    done = {row["payload"]["to"]: row["result"] for row in rows if row["state"] == "done"}
    sent = {to for to, result in done.items() if result["state"] == "sent"}
    dead = failed(master, run)
    unknown = {to for to, error in dead.items() if "may have been sent" in error}
    twice = {to: count for to, count in server.taken.items() if count > 1}
    assert twice == {}
    assert sent <= set(server.taken)
    # A worker was killed when it had noted a hard bounce, before the master knew: a rare moment.
    assert done.keys() - sent <= server.refused
    assert server.unsure <= unknown
    assert set(addresses) - set(server.taken) - server.refused <= unknown
    assert dead.keys() - unknown <= server.refused


def test_with_duplicates_allowed_a_broken_off_message_comes_twice_with_one_id(
    mail_master: Master,
) -> None:
    list_, addresses = recipients(mail_master.folder, 3)
    broken = [addresses[1]]
    with MailServer(lambda to: "after" if to in broken and not broken.clear() else "") as server:
        arguments = {"campaign": "c", "server": server.address, "retry_s": 0.2}
        run = submit(mail_master, list_, duplicates="allow", **arguments)
        mail_master.worker()
        rows = mail_master.ended_tasks(run, len(addresses))
    assert {row["result"]["state"] for row in rows} == {"sent"}
    assert server.unsure == {addresses[1]}
    assert server.taken == {**dict.fromkeys(addresses, 1), addresses[1]: 2}
    first, second = server.ids[addresses[1]]
    assert first == second
    assert len({ids[0] for ids in server.ids.values()}) == len(addresses)


def test_a_person_may_send_a_message_again_whose_fate_is_unknown(mail_master: Master) -> None:
    faults = ["after", ""]
    with MailServer(lambda _: faults.pop(0) if faults else "") as server:
        arguments = {"to": "ann@example.org", "server": server.address, "retry_s": 0.1}
        run = submit(mail_master, **arguments)
        mail_master.worker()
        mail_master.ended_tasks(run, 1)
        error = failed(mail_master, run)["ann@example.org"]
        assert "may have been sent" in error
        assert server.taken["ann@example.org"] == 1
        # Somebody has refused ones tried again: that is no word about this one.
        assert mail_master.command("retry", str(run)).code == 0
        eventually(
            lambda: mail_master.run_line(run)["state"] == "failed", what="it is as it was before"
        )
        assert failed(mail_master, run)["ann@example.org"] == error
        assert server.taken["ann@example.org"] == 1
        (command,) = re.findall(r"qm (retry \d+ \d+ --reason) TEXT", error)
        words = [*command.split(), "it is not in the log"]
        assert mail_master.command(*words).code == 0
        eventually(lambda: mail_master.run_line(run)["done"] == "1", what="done after the retry")
    assert server.taken["ann@example.org"] == 2
