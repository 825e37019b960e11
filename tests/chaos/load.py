"""The work: which runs are asked for, what each must come to, and the commands that ask."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .ground.cluster import Cluster
from .ground.processes import PRODUCT, Program
from .verdict.evidence import Expected, RunStory

AT_ONCE = 5
"""Runs that are active at a time: as many as keep all slots busy and still end."""

AGAIN_S = 0.4
COMMAND_S = 40.0


def answer(tag: str, item: str) -> list[Any]:
    """The result of a task; the same as in `jobs/diary.py`."""
    return [item, zlib.crc32(f"{tag}/{item}".encode())]


def numbered(tag: str, count: int) -> dict[str, Expected]:
    """Tasks 0, 1, 2, ..., each done."""
    return {str(n): Expected(answer(tag, str(n))) for n in range(count)}


def plain(tag: str, dice: random.Random) -> RunStory:
    count = dice.choice([50, 500, 1500])
    words = [f"count={count}", f"long_every={count // 5}", f"long_s={dice.choice([1, 2, 4])}"]
    return RunStory("plain", tag, words, numbered(tag, count))


def tree(tag: str, dice: random.Random) -> RunStory:
    depth = dice.choice([3, 4, 5])
    return RunStory("tree", tag, [f"depth={depth}"], dict(_nodes(tag, depth)))


def _nodes(tag: str, depth: int) -> Iterator[tuple[str, Expected]]:
    level, name = [("r", None)], "r"
    for left in range(depth, -1, -1):
        for name, parent in level:
            yield name, Expected(answer(tag, name), parent=parent)
        if left:  # the shared one is there as soon as any of its parents is done
            yield f"shared{left}", Expected(answer(tag, f"shared{left}"))
        level = [(f"{name}.{n}", name) for name, _ in level for n in range(3)]


def stubborn(tag: str, dice: random.Random) -> RunStory:
    return RunStory("stubborn", tag, ["count=16"], numbered(tag, 16), attempts=30, losses=30)


BAD = {
    "segfault": "SIGSEGV",
    "exit": "exit code 3",
    "kill": "SIGKILL",
    "raise": "ValueError: a bad task",
    "reject": "not this one",
}


def poison(tag: str, dice: random.Random) -> RunStory:
    expected: dict[str, Expected] = {}
    for n in range(40):
        kind = list(BAD)[n // 8 % len(BAD)] if n % 8 == 3 else "good"
        item = f"{kind}{n}"
        dead = BAD.get(kind)
        expected[item] = Expected(None if dead else answer(tag, item), dead)
    return RunStory("poison", tag, ["count=40"], expected, attempts=2)


def coroutines(tag: str, dice: random.Random) -> RunStory:
    return RunStory("coroutines", tag, ["count=100"], numbered(tag, 100), losses=30)


def polite(tag: str, dice: random.Random) -> RunStory:
    names = [f"g{n % 3}:{n}" for n in range(24)]
    expected = {name: Expected(answer(tag, name)) for name in names}
    return RunStory("polite", tag, ["count=24"], expected, losses=30)


def mixed(tag: str, dice: random.Random) -> RunStory:
    return RunStory("mixed", tag, ["count=60"], numbered(tag, 60))


def gather(tag: str, dice: random.Random) -> RunStory:
    return RunStory("gather", tag, ["count=400"], numbered(tag, 400))


KINDS: list[Callable[[str, random.Random], RunStory]] = [
    plain,
    tree,
    gather,
    poison,
    stubborn,
    coroutines,
    polite,
    mixed,
]


@dataclass
class Asking:
    """A run that is asked for: the command of the moment, or when to try again."""

    run: RunStory
    command: Program | None = None
    again_at: float = 0.0
    kill_at: float | None = None


def can(*words: str) -> bool:
    """Whether the product that is tried has this already: what Python exits with 0 on."""
    environment = {"PYTHONPATH": str(PRODUCT)}
    command = [sys.executable, *words]
    done = subprocess.run(command, cwd=PRODUCT, env=environment, capture_output=True)
    return done.returncode == 0


@dataclass
class Load:
    """Keeps a few runs going. left_out: kinds that the product cannot do yet."""

    cluster: Cluster
    seed: int
    runs: list[RunStory] = field(default_factory=list)
    asking: list[Asking] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    cancels: list[tuple[RunStory, Program]] = field(default_factory=list)
    kill_next: float | None = None

    def __post_init__(self) -> None:
        self.dice = random.Random(f"load {self.seed}")
        self._kinds = list(KINDS)
        if not can("-c", "from queue_manager import Limit"):
            self._kinds.remove(polite)
            self.left_out.append("polite")
        self.can_cancel = can("-m", "master", "cancel", "--help")
        if not self.can_cancel:
            self.left_out.append("cancel")

    def next_run(self) -> RunStory:
        """One more, of the next kind."""
        make = self._kinds[len(self.runs) % len(self._kinds)]
        return make(f"{make.__name__}{len(self.runs)}", self.dice)

    def ask(self, run: RunStory) -> None:
        """Ask for a run, until that was answered; its tag is its key."""
        self.runs.append(run)
        asking = Asking(run)
        if self.kill_next is not None:
            asking.kill_at, self.kill_next = self.kill_next, None
        self.asking.append(asking)

    def turn(self, active: set[str], more: bool) -> None:
        """See to the commands; `more`: ask for another run where there is room."""
        for asking in list(self.asking):
            self._tend(asking)
        done_asking = {run.tag for run in self.runs if run.run and run.tag in active}
        if more and len(self.asking) < 2 and len(done_asking) + len(self.asking) < AT_ONCE:
            self.ask(self.next_run())

    def _tend(self, asking: Asking) -> None:
        now, command = time.monotonic(), asking.command
        if command is None:
            if now >= asking.again_at:
                asking.command = self._submit(asking.run)
            return
        if asking.kill_at is not None and now - command.started > asking.kill_at:
            asking.kill_at = None
            command.signal(signal.SIGKILL)
        if command.alive:
            if now - command.started > COMMAND_S:
                self.cluster.troubles.append(f"no answer to the submit of {asking.run.tag}")
                command.kill()
            return
        self._answered(asking, command)

    def _answered(self, asking: Asking, command: Program) -> None:
        command._copier.join(2.0)
        last = command.lines[-1] if command.lines else ""
        if command.popen.returncode == 0 and last.isdigit():
            asking.run.run = int(last)
            self.asking.remove(asking)
            return
        if any("Traceback" in line for line in command.lines):
            self.cluster.troubles.append(f"submit {asking.run.tag}: {command.lines[-3:]}")
        asking.command, asking.again_at = None, time.monotonic() + AGAIN_S

    def _submit(self, run: RunStory) -> Program:
        words = ["submit", run.job, f"tag={run.tag}", *run.words, "--key", run.tag]
        return self.command(*words)

    def command(self, *words: str) -> Program:
        """`qm ...`, as a client."""
        port = str(self.cluster.front.port)
        return self.cluster.ground.start("commands.log", "-m", "master", *words, QUEUE_PORT=port)

    def cancel(self, active: set[str], pick: float) -> bool:
        """Cancel one of the plain runs."""
        found = [r for r in self.runs if r.job == "plain" and r.run and r.tag in active]
        if not found or not self.can_cancel:
            return False
        run = found[int(pick * len(found))]
        self.cancels.append((run, self.command("cancel", str(run.run))))
        return True
