"""Jobs whose `tasks()` is bad: they stall alone."""

from __future__ import annotations

from tests.integration.processes import Master, eventually


def test_a_segfault_in_tasks_stalls_its_run_and_no_other(master: Master) -> None:
    master.worker()
    crash = master.submit("crash")
    fine = master.submit("count_up", "count=50")
    assert len(master.ended_tasks(fine, 50)) == 50
    line = master.process.says(rf"run {crash} \(crash\) is stalled", 30.0)
    assert "killed by SIGSEGV 5 times without progress" in line
    status = master.status()
    assert f"    {crash}  crash                    stalled" in status
    assert "! its runner was killed by SIGSEGV 5 times" in status
    after = master.submit("count_up", "count=5", "--wait")
    assert len(master.results(after)) == 5


def test_tasks_that_never_yields_holds_nobody_up(master: Master) -> None:
    master.worker()
    endless = master.submit("endless")
    fine = master.submit("count_up", "count=50")
    assert len(master.ended_tasks(fine, 50)) == 50
    client = master.client()
    client("(tasks.put(1), tasks.get(), results.put(2))")
    assert client("results.get(timeout=5)") == 2
    assert f"    {endless}  endless                  active " in master.status()
    assert master.process.terminate(10.0) == 0


def test_a_runner_that_is_killed_goes_on_where_it_was(master: Master) -> None:
    run = master.submit("count_up", "count=300")
    eventually(lambda: f"    {run}  count_up count=300       active " in master.status())
    client = master.client()
    del client
    master.worker()
    tasks = master.ended_tasks(run, 300)
    assert [task["result"] for task in tasks] == [n * n for n in range(300)]
