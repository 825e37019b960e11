"""The history of runs over a real master: what a program is told, also after kill -9."""

from __future__ import annotations

from pathlib import Path

from queue_manager import connect
from tests.integration.processes import KEY, Master, eventually


def test_what_was_done_before_a_kill_is_in_the_history(master: Master, tmp_path: Path) -> None:
    """A run that has ended, and one whose last minute nobody has recorded yet."""
    master.worker()
    gate = tmp_path / "gate"
    assert master.command("submit", "square", "count=7", "--wait").code == 0
    waits = master.start("waits.log", "master", "submit", "count_up", "count=30", f"gate={gate}")
    run = int(waits.says(r"^\d+$"))
    eventually(lambda: master.run_line(run)["done"] == "10")
    with connect(f"127.0.0.1:{master.port}", authkey=KEY) as qm:
        done = {which: sum(p.done for p in qm.history(which).points) for which in (1, run, None)}
        assert done == {1: 7, run: 10, None: 17}
        (last,) = qm.history(run).points[-1:]
        assert (last.workers, last.dead) == (1, 0)
        assert last.busy_s > 0
    master.process.kill()
    master.serve()
    with connect(f"127.0.0.1:{master.port}", authkey=KEY) as qm:
        eventually(lambda: sum(p.done for p in qm.history().points) >= 17)
        assert [sum(p.done for p in qm.history(which).points) for which in (1, run)] == [7, 10]
        gate.touch()
        eventually(lambda: sum(p.done for p in qm.history().points) == 37)
