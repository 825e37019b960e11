"""Arrays and tables go from tasks() to work() and collect(), and into the results."""

from __future__ import annotations

import json

from tests.integration.processes import Master


def test_arrays_and_tables_travel_through_a_run(master: Master) -> None:
    master.worker()
    master.submit("arrays")
    master.ended_tasks(1, 4, within_s=60)
    lines = [json.loads(line) for line in master.command("results", "1").out.splitlines()]
    assert [line["state"] for line in lines] == ["done"] * 4
    assert lines[1]["payload"] == {
        "$array": {"dtype": "<f4", "shape": [2, 2], "values": [[1.0, 1.0], [1.0, 1.0]]}
    }
    assert lines[1]["result"] == [
        {"$scalar": {"dtype": "<f4", "value": 1.0}},
        {"$array": {"dtype": "<f4", "shape": [2, 2], "values": [[2.0, 2.0], [2.0, 2.0]]}},
    ]
    assert lines[3]["result"]["$arrow"]["kind"] == "frame"
    assert "array([1.0, 1.0, 1.0, 1.0]" in master.command("show", "1", "2").out
