"""The first names are labels of their own, and all others one."""

from __future__ import annotations

from master.tally.labels import MOST_NAMES, OTHER, QUEUE, Labels


def test_names_behind_the_first_ones_are_one_label() -> None:
    labels = Labels()
    names = [f"job{n}" for n in range(MOST_NAMES + 50)]
    told = [labels.of(name) for name in names]
    assert told[:MOST_NAMES] == names[:MOST_NAMES]
    assert set(told[MOST_NAMES:]) == {OTHER}
    assert labels.of("job0") == "job0"


def test_the_tasks_of_no_job_are_those_of_the_queue() -> None:
    assert Labels().of("") == QUEUE
