"""The job `logs` counts what awk counts, to the last line, whatever is killed meanwhile.

`make test-logs MEGABYTES=1000` does so with a gigabyte; without the setting it is a tenth of that.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.ground.processes import children
from tests.integration import awks_counts
from tests.integration.processes import REPO, Master, Process, eventually

MEGABYTES = int(os.environ.get("LOGS_MEGABYTES") or "100")
KILLS, HEAD = 4, 20
PULSE_S = 0.05
ALL = f"by={','.join(awks_counts.LISTS)}"

pytestmark = [
    pytest.mark.alone,  # it has both processors for itself
    pytest.mark.timeout(120 + 3 * MEGABYTES),
]


class Logs:
    """The logs, what awk counts in them, and a master with the job."""

    def __init__(self, master: Master, folder: Path) -> None:
        self.master, self.folder = master, folder
        self.files = awks_counts.write(folder, MEGABYTES * 1_000_000)
        self.truth = awks_counts.counts(self.files)
        self.workers: list[Process] = [master.worker(WORKER_SLOTS="1") for _ in range(2)]

    def count(self, *more: str, kills: int) -> Path:
        """A run with so many kills, spread over it. Returns the folder of its report."""
        out = self.folder / "-".join(["out", *more]).replace("=", "-")
        ranges = ["megabytes=" + str(max(2, MEGABYTES // 40)), f"out={out}"]
        run = self.master.submit("logs", f"paths={self.folder}/access*", *ranges, *more)
        for number in range(kills):
            self._wait_for_a_part(run, (number + 1) / (kills + 2))
            self._kill(number)
        within_s = 60.0 + MEGABYTES
        eventually(lambda: self._line(run)["state"] != "active", within_s, "the last task")
        eventually(lambda: self._line(run)["state"] == "done", what="the report")
        return out

    def _line(self, run: int) -> dict[str, str]:
        return self.master.run_line(run)

    def _wait_for_a_part(self, run: int, part: float) -> None:
        most = MEGABYTES * 7 / 8 / max(2, MEGABYTES // 40)  # the gzip file is one task
        for done in self._bit_by_bit(run):
            if done >= part * most:
                assert self._line(run)["state"] == "active", "all was over before a kill"
                return

    def _bit_by_bit(self, run: int) -> Iterator[int]:
        """How many tasks are done, again and again. The slots stand still while anybody looks.

        Else the run may end between a look and the kill.
        """
        done = 0
        deadline = time.monotonic() + 60.0 + MEGABYTES
        while time.monotonic() < deadline:
            self._signal(signal.SIGSTOP)
            try:
                done = int(self._line(run)["done"])
                yield done
            finally:
                self._signal(signal.SIGCONT)
            time.sleep(PULSE_S)
        raise AssertionError(f"only {done} tasks were done in time")

    def _signal(self, number: signal.Signals) -> None:
        for worker in self.workers:
            for pid in children(worker.popen.pid, "worker.slot.main"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def _kill(self, number: int) -> None:
        """kill -9 of a slot, or of a whole worker, after which another one comes."""
        worker = self.workers.pop(0)
        if number % 2:
            worker.kill()
            worker = self.master.worker(WORKER_SLOTS="1")
        else:
            for pid in children(worker.popen.pid, "worker.slot.main"):
                os.kill(pid, signal.SIGKILL)
        self.workers.append(worker)


@pytest.fixture
def logs(start_master: Callable[..., Master], tmp_path: Path) -> Iterator[Logs]:
    master = start_master()
    for name in ("weblog", "output"):
        shutil.copytree(REPO / "jobs" / name, master.jobs / name)
    shutil.copy(REPO / "jobs" / "logs.py", master.jobs)
    yield Logs(master, tmp_path)
    for path in tmp_path.glob("access*"):  # pytest keeps the folders of three runs
        path.unlink()


def listed(out: Path) -> awks_counts.Counts:
    """The lists of a report, as awk has them."""
    found: awks_counts.Counts = {}
    with (out / "report.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            assert row["at_most"] == row["requests"], row
            numbers = int(row["requests"]), int(row["bytes"])
            found.setdefault(row["list"], {})[row["value"]] = numbers
    return found


def test_all_counts_are_awks_while_workers_are_killed(logs: Logs) -> None:
    out = logs.count(ALL, "top=100000", "keep=100000", kills=KILLS)
    data: dict[str, Any] = json.loads((out / "report.json").read_text())
    truth = {name: count for name, (count, _) in logs.truth.pop("total").items()}
    assert (data["lines"], data["unparsable"]) == (truth["lines"], truth["odd"])
    assert (data["requests"], data["bytes"]) == (truth["lines"] - truth["odd"], truth["bytes"])
    assert data["ranges"]["planned"] == data["ranges"]["counted"] > KILLS
    assert all(data["lists"][name]["exact"] for name in awks_counts.LISTS)
    found = listed(out)
    different = {
        name: list(itertools.islice(set(found[name].items()) ^ set(logs.truth[name].items()), 4))
        for name in awks_counts.LISTS
        if found[name] != logs.truth[name]
    }
    assert not different
    assert abs(data["visitors"] / truth["clients"] - 1) < 0.02
    values = sum(map(len, found.values()))
    print(f"{truth['lines']:,} lines, {values:,} values; visitors: {data['visitors']:,} and"
          f" {truth['clients']:,}")  # fmt: skip


def test_the_longest_bars_are_awks_where_a_range_has_more_values_than_it_may_keep(
    logs: Logs,
) -> None:
    out = logs.count(ALL, "keep=2000", kills=0)
    data: dict[str, Any] = json.loads((out / "report.json").read_text())
    assert not data["lists"]["client"]["exact"]
    for name in awks_counts.LISTS:
        truth, rows = logs.truth[name], data["lists"][name]["rows"]
        if name == "hour":
            rows.sort(key=lambda row: (-row["requests"], row["value"]))
        found = [(row["value"], row["requests"]) for row in rows[:HEAD]]
        assert found == awks_counts.head(truth, HEAD), name
        for row in rows:
            assert row["requests"] <= truth[row["value"]][0] <= row["at_most"], row
        missing = truth.keys() - {row["value"] for row in rows}
        most = max((truth[value][0] for value in missing), default=0)
        assert most <= data["lists"][name]["others_at_most_each"], name
