"""Commands outlive a restart of the master: they wait for it, and go on where they were."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.processes import Master, eventually

LOST = "qm: lost the master; waiting for it"


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_submit_wait_goes_on_with_its_run(how: str, master: Master, tmp_path: Path) -> None:
    master.worker()
    gate = tmp_path / "gate"
    waits = master.start(
        "waits.log", "master", "submit", "count_up", "count=30", f"gate={gate}", "--wait"
    )
    run = int(waits.says(r"^\d+$"))
    eventually(lambda: master.run_line(run)["done"] == "10")
    getattr(master.process, how)()
    waits.says(LOST)
    master.serve()
    gate.touch()
    assert waits.wait() == 0
    assert waits.lines(rf"run {run} \(count_up\): 30 tasks done, 0 dead")
    assert waits.lines(LOST) == [LOST], "it is said once"
    assert len(master.results(run)) == 30


@pytest.mark.parametrize(
    ("words", "dead"), [(("results", "1"), 0), (("failed", "1", "--format", "jsonl"), 3000)]
)
def test_a_listing_goes_on_behind_the_last_page(
    master: Master, words: tuple[str, ...], dead: int
) -> None:
    master.worker()
    ended = master.command("submit", "wide", f"dead={dead}", "--wait")
    assert ended.code == (1 if dead else 0), repr(ended)
    listing = subprocess.Popen(
        [sys.executable, "-m", "master", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=master.environment(),
        cwd=master.folder,
    )
    try:
        assert listing.stdout is not None
        # Past the buffer of its pipe it waits for us, with pages still to ask for.
        first = os.read(listing.stdout.fileno(), 1)
        master.process.kill()
        master.serve()
        rest, err = listing.communicate(timeout=30.0)
    finally:
        listing.kill()
        listing.wait()
    lines = [json.loads(line) for line in (first + rest).splitlines()]
    assert [line["payload"][0] for line in lines] == list(range(3000))
    assert (listing.returncode, err.decode().splitlines()) == (0, [LOST])


def test_a_master_that_is_not_there_at_the_start_is_one_line_after_five_seconds(
    master: Master,
) -> None:
    master.process.kill()
    refusal = master.command("failed", "1").refusal
    assert refusal.startswith(f"qm: no master at 127.0.0.1:{master.port} (QUEUE_HOST, QUEUE_PORT)")
