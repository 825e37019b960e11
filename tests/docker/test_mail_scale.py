"""Thousands of messages from containers to Postfix and to a server that fails; containers die.

The servers' own records say what came: Postfix's folder, and the list of the tests' server.
"""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import io
import json
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import docker
import pytest

from .conftest import CHECKOUT, Stack, eventually
from .test_chaos import address_of, kill_from_the_host

COUNT = int(os.environ.get("MAIL_COUNT", "3000"))
DOMAINS = 8
WORKERS = 3
KILLS = 8
OF_THE_MASTER = (2, 5)
"""Which of the kills hit the master, too."""

PACKAGES = ("aiosmtpd", "attr", "public")
"""What the tests' server needs and the images do not have: all of it is pure Python."""

ZONE = {
    **{f"d{n}.post.example": {"MX": ["10 relay."]} for n in range(DOMAINS)},
    **{f"d{n}.fault.example": {"MX": ["10 faulty."]} for n in range(DOMAINS)},
    **{f"d{n}.even.example": {"MX": ["10 even."]} for n in range(2)},
    # The first server is none, so the second is taken.
    "two.post.example": {"MX": ["20 relay.", "10 names."]},
    # Without an MX, the name itself is that of a server.
    "bare.fault.example": {"A": ["127.0.0.1"]},
    "null.example": {"MX": ["0 ."]},
}
TAKES_NO_MAIL = "reader@null.example"
IS_NOWHERE = "reader@nowhere.example"

# Postfix's own record: whom each file is for, and its Message-ID.
READ_MAILDIR = r"""
import json, os, re
place = "/shared/mail/received/new"
for name in os.listdir(place):
    with open(f"{place}/{name}", "rb") as file:
        head = file.read(4096).decode("latin1")
    fields = ("delivered-to", "message-id")
    print(json.dumps([re.search(rf"(?mi)^{field}: *(\S+)", head)[1] for field in fields]))
"""


class Taken(NamedTuple):
    """What the servers have: how often each recipient's message came, its Message-IDs, and what
    the tests' server has refused or broken off behind its end."""

    times: Counter[str]
    ids: dict[str, str]
    refused: set[str]
    unsure: set[str]


@pytest.fixture(scope="module")
def tools(clone: Path) -> Path:
    """The folder that the containers see as /tools: the tests' servers, and the lists."""
    folder = clone / "tools"
    (folder / "packages").mkdir(parents=True)
    for name in ("mail_server.py", "name_server.py"):
        shutil.copy(CHECKOUT / "tests" / name, folder)
    for name in PACKAGES:
        found = importlib.util.find_spec(name)
        assert found is not None
        assert found.origin is not None
        shutil.copytree(Path(found.origin).parent, folder / "packages" / name)
    (folder / "zone.json").write_text(json.dumps(ZONE))
    return folder


@pytest.fixture(scope="module")
def mail_stack(clone: Path, tools: Path, docker_setup: list[str]) -> Iterator[Stack]:
    """Postfix, two servers of the tests, a name server, a master and workers, in one project.

    docker_setup chooses the base image.
    """
    client = docker.from_env()
    files = ["docker-compose.yml", "compose.demo-mail.yml", "tests/docker/mailing/compose.yml"]
    stack = Stack(
        client, f"quartermaster-mail-{os.getpid()}", *(str(clone / name) for name in files)
    )
    try:
        stack.compose("build", "master", "worker", "relay", within_s=600.0)
        stack.compose("up", "--detach", "--no-build", "names")
        os.environ["NAMES_AT"] = address_of(stack.containers("names")[0])
        stack.compose("up", "--detach", "--no-build", "--scale", f"worker={WORKERS}", "worker")
        eventually(lambda: connected(stack) == WORKERS, 60)
        yield stack
    except BaseException:
        print(stack.compose("logs", "--tail", "40", check=False))
        raise
    finally:
        stack.compose("down", "--volumes", "--timeout", "12", check=False)
        client.close()
        os.environ.pop("NAMES_AT", None)


def connected(stack: Stack) -> int:
    """How many workers the master knows; 0 while it does not answer."""
    said = stack.compose("exec", "-T", "master", "qm", "status", check=False)
    return len(re.findall(r"^worker ", said, re.MULTILINE))


def recipients() -> list[str]:
    """The addresses of the campaign: half of them for each server, in turns, and the odd ones."""
    half = COUNT // 2
    addresses = [
        f"reader{n}@d{n % DOMAINS}.{server}.example"
        for n in range(half)
        for server in ("post", "fault")
    ]
    odd = ["reader@two.post.example", "reader@bare.fault.example", TAKES_NO_MAIL, IS_NOWHERE]
    return addresses[: -len(odd)] + odd


def recorded(stack: Stack, server: str) -> list[tuple[str, str, str, float]]:
    """The record of a server of the tests: what, to whom, Message-ID, when."""
    text = stack.compose("exec", "-T", server, "cat", f"/shared/{server}.jsonl")
    return [tuple(json.loads(line)) for line in text.splitlines()]


def taken(stack: Stack) -> Taken:
    """What both servers have."""
    text = stack.compose("exec", "-T", "relay", "python3", "-c", READ_MAILDIR)
    found = [json.loads(line) for line in text.splitlines()]
    lines = recorded(stack, "faulty")
    found += [(to, message_id) for what, to, message_id, _ in lines if what == "taken"]
    refused, unsure = (
        {to for what, to, *_ in lines if what == name} for name in ("refused", "unsure")
    )
    return Taken(Counter(to for to, _ in found), dict(found), refused, unsure)


def report(stack: Stack, campaign: str) -> dict[str, str]:
    """The state of each recipient in a campaign's report; one that has two rows fails."""
    text = stack.compose("exec", "-T", "master", "cat", f"/shared/mail/{campaign}/report.csv")
    rows = [(row["to"], row["state"]) for row in csv.DictReader(io.StringIO(text))]
    assert len(rows) == len(dict(rows))
    return dict(rows)


def submit(stack: Stack, tools: Path, campaign: str, addresses: list[str], *words: str) -> int:
    """Submit a campaign to these addresses; returns its run."""
    path = tools / f"{campaign}.csv"
    path.write_text("email\n" + "".join(f"{one}\n" for one in addresses))
    given = [f"recipients=/tools/{path.name}", f"campaign={campaign}", "text=Hello {{ email }}"]
    return int(stack.qm("submit", "mail", *given, "subject=Spring", "tls=opportunistic", *words))


def ended(stack: Stack, run: int) -> bool:
    """Whether a run has ended, with its report."""
    said = stack.compose("exec", "-T", "master", "qm", "status", check=False)
    return re.search(rf"^ +{run} .* (done|failed) ", said, re.MULTILINE) is not None


def has_taken(stack: Stack, count: int) -> bool:
    """Whether the failing server has so many messages."""
    said = stack.compose("exec", "-T", "faulty", "wc", "-l", "/shared/faulty.jsonl")
    return int(said.split()[0]) >= count


@contextlib.contextmanager
def told(stack: Stack) -> Iterator[None]:
    """If what is inside fails, show how the containers are."""
    try:
        yield
    except BaseException:
        for words in (["ps", "--all"], ["exec", "-T", "master", "qm", "status"]):
            print(stack.compose(*words, check=False))
        print(stack.compose("logs", "--tail", "30", "master", "worker", "faulty", check=False))
        raise


@pytest.mark.timeout(2400)
def test_of_thousands_of_messages_none_is_lost_and_none_sent_twice_while_containers_are_killed(
    mail_stack: Stack, tools: Path
) -> None:
    stack, addresses = mail_stack, recipients()
    began = time.monotonic()
    run = submit(stack, tools, "spring", addresses, "retry_s=0.5")
    with told(stack):
        for kill in range(KILLS):
            due = (kill + 1) * COUNT // 2 // (KILLS + 1)
            eventually(partial(has_taken, stack, due), 600)
            kill_from_the_host(stack.containers("worker")[kill % WORKERS])
            if kill in OF_THE_MASTER:
                kill_from_the_host(stack.containers("master")[0])
        eventually(partial(ended, stack, run), 600)
    took_s = time.monotonic() - began

    found, states = taken(stack), report(stack, "spring")
    dead = {
        row["payload"]["to"]: row["error"] for row in stack.results(run) if row["state"] == "dead"
    }
    unknown = {to for to, state in states.items() if state == "unknown"}
    sent = {to for to, state in states.items() if state == "sent"}
    print(f"{COUNT} messages in {took_s:.0f} s, {len(sent)} sent, {len(unknown)} unknown")
    assert states.keys() == set(addresses)
    assert {to: times for to, times in found.times.items() if times > 1} == {}
    assert len(set(found.ids.values())) == len(found.ids)
    # What no server has, was refused or is named as unknown; what one has, is sent or unknown.
    assert sent <= found.ids.keys() <= sent | unknown
    assert found.unsure <= unknown
    assert unknown == {to for to, error in dead.items() if "may have been sent" in error}
    refused = set(addresses) - sent - unknown
    assert refused <= found.refused | {TAKES_NO_MAIL, IS_NOWHERE}
    assert "takes no mail" in dead[TAKES_NO_MAIL]
    assert "there is no domain" in dead[IS_NOWHERE]
    assert "reader@two.post.example" in found.ids


def test_the_rates_of_domains_and_servers_hold_for_all_containers(
    mail_stack: Stack, tools: Path
) -> None:
    stack = mail_stack
    eventually(lambda: connected(stack) == WORKERS, 60)
    slow = [f"slow{n}@d0.even.example" for n in range(12)]
    run = submit(stack, tools, "slow", slow, "per_minute=120")
    eventually(partial(ended, stack, run), 60)
    fast = [f"fast{n}@d{n % 2}.even.example" for n in range(40)]
    run = submit(stack, tools, "fast", fast, "rate=8")
    eventually(partial(ended, stack, run), 60)
    at = {to: when for what, to, _, when in recorded(stack, "even") if what == "taken"}
    assert at.keys() == {*slow, *fast}
    # 120 a minute is one in 0.5 s, 8 a second one in 0.125 s. Ways and first connections take time.
    for names, every_s in ((slow, 0.5), (fast, 0.125)):
        times = sorted(at[name] for name in names)
        assert times[-1] - times[0] >= every_s * (len(times) - 1) - 1.0
