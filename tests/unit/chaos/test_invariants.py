"""Each invariant finds what it is there for: a sound story passes, a bent one fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.__main__ import few_reruns, quick_reruns
from tests.chaos.load import answer
from tests.chaos.plan import KILLS, WEIGHTS, kills, poisson
from tests.chaos.verdict.evidence import (
    Call,
    Execution,
    Expected,
    Hit,
    RunStory,
    Story,
    match_hits,
    poison_hits,
    read_diary,
)
from tests.chaos.verdict.invariants import violations
from tests.chaos.verdict.table import again, kill_count, lines, percentile, rerun_gaps, reruns

WORKER, SLOT = 10, 11


def row(tag: str, item: str, state: str = "done", attempts: int = 1, error: Any = None) -> Any:
    """A line of `results`."""
    result = answer(tag, item) if state == "done" else None
    payload = [tag, item, 0.1]
    return {
        "payload": payload,
        "state": state,
        "attempts": attempts,
        "result": result,
        "error": error,
    }


def ran(tag: str, item: str, start: float, end: float | None = None, how: str = "E") -> Execution:
    """A try of 0.1 s."""
    if how == "":
        return Execution((tag, item), SLOT, WORKER, start)
    return Execution((tag, item), SLOT, WORKER, start, end if end is not None else start + 0.1, how)


def run_of(job: str, items: list[str], **expected: Expected) -> RunStory:
    """A run in which everything is as it should be."""
    tag = f"{job}1"
    wanted = {item: expected.get(item, Expected(answer(tag, item))) for item in items}
    rows = [
        row(tag, item)
        if one.dead is None
        else row(tag, item, "dead", 2, f"its slot died: killed by {one.dead}")
        for item, one in wanted.items()
    ]
    dead = sum(one.dead is not None for one in wanted.values())
    counts = {"tasks": len(rows), "done": len(rows) - dead, "dead": dead, "cancelled": 0}
    state = "failed" if dead else "done"
    return RunStory(job, tag, [], wanted, 2, 5, 1, False, {**counts, "state": state}, rows)


@pytest.fixture
def story() -> Story:
    """One of each kind of run, with a kill of a slot, and a queue run; all as it should be."""
    story = Story()
    story.runs = [
        run_of("plain", ["0", "1", "2"]),
        run_of("poison", ["good1", "kill2"], kill2=Expected(dead="SIGKILL")),
        run_of("tree", ["r", "r.0"], **{"r.0": Expected(answer("tree1", "r.0"), parent="r")}),
        run_of("polite", ["g0:0", "g0:3", "g0:6"]),
        run_of("gather", ["0", "1"]),
        run_of("mixed", ["0"]),
    ]
    story.runs[0].rows[1]["attempts"] = 2
    story.executions = [
        ran("plain1", "0", 1.0),
        ran("plain1", "1", 2.0, how=""),
        ran("plain1", "1", 3.0),
        ran("plain1", "2", 4.0),
        ran("poison1", "good1", 5.0),
        ran("poison1", "kill2", 6.0, 6.0, "F"),
        ran("poison1", "kill2", 7.0, 7.0, "F"),
        ran("tree1", "r", 8.0),
        ran("tree1", "r.0", 8.5),
        ran("polite1", "g0:0", 10.0, 10.5),
        ran("polite1", "g0:3", 10.3, 10.8),
        ran("polite1", "g0:6", 10.6, 11.0),
        ran("gather1", "0", 12.0),
        ran("gather1", "1", 12.5),
        ran("mixed1", "0", 15.0),
        ran("put1", "0", 16.0),
    ]
    kill = Hit("kill slot", 2.05, 2.05, slots=frozenset([SLOT]), kills=True, charges=True)
    story.hits = [kill, Hit("kill runner", 13.0, 13.0)]
    story.calls = [
        Call(("gather1", "0"), 20, 12.7, True),
        Call(("gather1", "1"), 20, 12.95, True),
        Call(("gather1", "1"), 21, 13.5, True),
    ]
    story.yields = {("mixed1", "0"): (13.0, 2.0)}
    story.tried = {("put1", "0"), ("put1", "1")}
    story.put = {("put1", "0")}
    story.queue_rows = [row("put1", "0")]
    story.read_results = [str(answer("put1", "0")[1])]
    story.hits += poison_hits(story)
    match_hits(story)
    return story


def broken(story: Story) -> list[str]:
    """The sentences that do not hold."""
    return [what for what, found in violations(story).items() if found]


def test_a_sound_story_breaks_nothing(story: Story) -> None:
    assert broken(story) == []


def lose_a_task(story: Story) -> None:
    story.runs[0].rows.pop()


def leave_a_run_unfinished(story: Story) -> None:
    story.runs[0].row["done"] -= 1


def forget_a_run(story: Story) -> None:
    story.runs[5].row = {}


def invent_a_task(story: Story) -> None:
    story.runs[0].rows.append(row("plain1", "99"))
    story.executions.append(ran("plain1", "99", 20.0))


def record_a_task_twice(story: Story) -> None:
    story.runs[0].rows.append(dict(story.runs[0].rows[0]))


def run_what_nobody_asked_for(story: Story) -> None:
    story.executions.append(ran("nobody1", "0", 20.0))


def record_the_neighbours_result(story: Story) -> None:
    story.runs[0].rows[0]["result"] = answer("plain1", "1")


def blame_an_innocent(story: Story) -> None:
    story.runs[1].rows[0] = row("poison1", "good1", "dead", 1, "its slot died: SIGKILL")


def let_poison_through(story: Story) -> None:
    story.runs[1].rows[1] = row("poison1", "kill2", "done", 1)
    story.executions.append(ran("poison1", "kill2", 20.0))


def say_nothing_of_the_poison(story: Story) -> None:
    story.runs[1].expected["kill2"].dead = "SIGSEGV"
    story.executions = [e for e in story.executions if e.task != ("poison1", "kill2")]


def charge_an_innocent(story: Story) -> None:
    story.runs[0].rows[0]["attempts"] = 2


def try_more_often_than_allowed(story: Story) -> None:
    story.runs[1].rows[1]["attempts"] = 3
    story.executions.append(ran("poison1", "kill2", 7.5, 7.5, "F"))


def lose_a_follow_up(story: Story) -> None:
    story.runs[2].rows.pop()
    story.runs[2].row.update(tasks=1, done=1)


def follow_up_a_task_that_is_not_done(story: Story) -> None:
    story.runs[2].rows[0]["state"] = "dead"


def run_a_task_twice_for_nothing(story: Story) -> None:
    story.executions.append(ran("plain1", "0", 9.0))


def kill_what_should_not_have_run_again(story: Story) -> None:
    story.executions.append(ran("plain1", "0", 9.0, how=""))
    story.hits.append(Hit("kill slot", 9.05, 9.05, slots=frozenset([SLOT]), kills=True))


def run_again_what_had_ended_a_while_before_the_kill(story: Story) -> None:
    story.executions.append(ran("plain1", "0", 9.0))
    story.hits.append(Hit("kill slot", 1.4, 1.4, slots=frozenset([SLOT]), kills=True))


def lease_a_task_twice_before_a_kill_that_excuses_it(story: Story) -> None:
    story.executions += [ran("plain1", "0", 9.0, 9.6), ran("plain1", "0", 9.3, 9.7)]
    story.executions = [e for e in story.executions if e.start != 1.0]
    story.hits.append(Hit("kill slot", 9.55, 9.55, slots=frozenset([SLOT]), kills=True))


def wait_long_for_the_next_try(story: Story) -> None:
    story.executions[2].start, story.executions[2].end = 25.0, 25.1


def be_done_without_running(story: Story) -> None:
    story.executions = [e for e in story.executions if e.task != ("plain1", "2")]


def run_a_delayed_task_early(story: Story) -> None:
    story.yields["mixed1", "0"] = (13.0, 2.5)


def start_a_limited_task_too_soon(story: Story) -> None:
    story.executions[10].start = 10.05
    story.executions[9].end = 10.06


def run_three_of_a_group_at_once(story: Story) -> None:
    story.executions[9].end = 10.7


def collect_a_wrong_result(story: Story) -> None:
    story.calls[0] = Call(("gather1", "0"), 20, 12.7, False)


def collect_nothing_of_a_task(story: Story) -> None:
    story.calls.pop(0)


def repeat_an_old_collect(story: Story) -> None:
    story.calls.append(Call(("gather1", "0"), 21, 13.4, True))


def repeat_a_collect_though_nobody_died(story: Story) -> None:
    story.calls.append(Call(("gather1", "1"), 21, 13.6, True))


def lose_a_put(story: Story) -> None:
    story.queue_rows.clear()
    story.read_results.clear()


def put_twice_what_was_put_once(story: Story) -> None:
    story.queue_rows *= 2


def find_a_put_of_nobody(story: Story) -> None:
    story.tried.clear()


def never_read_a_result(story: Story) -> None:
    story.read_results.clear()


def read_a_result_of_nothing(story: Story) -> None:
    story.read_results.append("12345")


def have_trouble(story: Story) -> None:
    story.troubles.append("the master ended by itself")


SABOTAGE: list[tuple[Callable[[Story], None], str]] = [
    (have_trouble, "nothing went wrong"),
    (lose_a_task, "submitted ="),
    (leave_a_run_unfinished, "submitted ="),
    (forget_a_run, "submitted ="),
    (invent_a_task, "nothing is invented"),
    (record_a_task_twice, "nothing is invented"),
    (run_what_nobody_asked_for, "nothing is invented"),
    (record_the_neighbours_result, "every recorded result"),
    (blame_an_innocent, "nothing innocent"),
    (let_poison_through, "nothing innocent"),
    (say_nothing_of_the_poison, "nothing innocent"),
    (charge_an_innocent, "no attempt is charged"),
    (try_more_often_than_allowed, "no attempt is charged"),
    (lose_a_follow_up, "a parent is done"),
    (follow_up_a_task_that_is_not_done, "a parent is done"),
    (run_a_task_twice_for_nothing, "executions <="),
    (kill_what_should_not_have_run_again, "executions <="),
    (run_again_what_had_ended_a_while_before_the_kill, "executions <="),
    (lease_a_task_twice_before_a_kill_that_excuses_it, "at most one valid lease"),
    (wait_long_for_the_next_try, "what a fault has cut off"),
    (be_done_without_running, "what is done was run"),
    (run_a_delayed_task_early, "a delay is kept"),
    (start_a_limited_task_too_soon, "limits per group"),
    (run_three_of_a_group_at_once, "limits per group"),
    (collect_a_wrong_result, "collect() saw"),
    (collect_nothing_of_a_task, "collect() saw"),
    (repeat_an_old_collect, "collect() saw"),
    (repeat_a_collect_though_nobody_died, "collect() saw"),
    (lose_a_put, "the queue run"),
    (put_twice_what_was_put_once, "the queue run"),
    (find_a_put_of_nobody, "the queue run"),
    (never_read_a_result, "the queue run"),
    (read_a_result_of_nothing, "the queue run"),
]


@pytest.mark.parametrize(("bend", "sentence"), SABOTAGE, ids=[b.__name__ for b, _ in SABOTAGE])
def test_a_bent_story_breaks_the_sentence_that_it_should(
    bend: Callable[[Story], None], sentence: str, story: Story
) -> None:
    bend(story)
    match_hits(story)
    story.__dict__.pop("by_task", None)
    assert any(what.startswith(sentence) for what in broken(story))


def test_every_sentence_can_be_broken(story: Story) -> None:
    for what in violations(story):
        assert any(what.startswith(sentence) for _, sentence in SABOTAGE), what


def test_an_innocent_that_chaos_itself_hit_to_the_limit_may_be_dead(story: Story) -> None:
    run = story.runs[0]
    run.attempts = 1
    run.rows[1] = row("plain1", "1", "dead", 1, "its slot died: killed by SIGKILL")
    run.row.update(done=2, dead=1, state="failed")
    assert broken(story) == []


def test_a_worker_that_was_away_may_start_what_it_still_holds(story: Story) -> None:
    story.executions.append(ran("plain1", "0", 30.0))
    story.hits.append(Hit("cut", 29.0, 31.0, workers=frozenset([WORKER])))
    match_hits(story)
    assert broken(story) == []


def test_a_slot_that_dies_before_the_first_line_of_work_charges_one_task(story: Story) -> None:
    story.runs[0].rows[0]["attempts"] = 2
    kill = Hit("kill slot", 20.0, 20.05, slots=frozenset([99]), kills=True, charges=True)
    story.hits.append(kill)
    match_hits(story)
    assert broken(story) == []
    story.runs[0].rows[2]["attempts"] = 2
    assert len(broken(story)) == 1


# --- reading and counting ---


def test_the_diary_gives_tries_with_their_end_or_without(tmp_path: Path) -> None:
    diary = tmp_path / "diary.log"
    diary.write_text(
        "S t 1 7 5 1.0\nS t 2 7 5 1.5\nE t 1 7 5 2.0\nS t 1 8 5 3.0\nF t 1 8 5 3.5\n"
        "C t 1 9 4 4.0 right\nY t 3 9 4 5.0 2.0\n"
        "A p 0 6 1 6.0\nP p 0 6 1 6.1\nR queue 0 6 1 7.0 42\n"
    )
    story = Story()
    read_diary(diary, story)
    told = [(e.task[1], e.slot, e.start, e.end, e.how) for e in story.executions]
    assert told == [("1", 7, 1.0, 2.0, "E"), ("2", 7, 1.5, None, ""), ("1", 8, 3.0, 3.5, "F")]
    assert story.calls == [Call(("t", "1"), 9, 4.0, True)]
    assert story.yields == {("t", "3"): (5.0, 2.0)}
    assert (story.tried, story.put) == ({("p", "0")}, {("p", "0")})
    assert story.read_results == ["42"]


def test_a_hit_touches_what_ran_and_what_was_not_reported_yet() -> None:
    hit = Hit("kill worker", 5.0, 5.0, workers=frozenset([WORKER]))
    assert hit.touches(ran("t", "1", 4.0, how=""))
    assert hit.touches(ran("t", "1", 4.8))  # it ended 0.1 s before
    assert not hit.touches(ran("t", "1", 4.7))
    assert hit.touches(ran("t", "1", 4.7), lag_s=0.1)
    assert not hit.touches(ran("t", "1", 5.1))
    silent = Hit("kill worker", 5.0, 5.0, workers=frozenset([WORKER]), since=3.0)
    assert silent.touches(ran("t", "1", 3.0))  # the master was away when it ended
    assert not silent.touches(ran("t", "1", 2.0))
    assert not Hit("kill worker", 5.0, 5.0, workers=frozenset([99])).touches(ran("t", "1", 4.9))


def test_the_table_counts_re_runs_by_fault_and_their_bound(story: Story) -> None:
    assert reruns(story) == {"kill slot": 1, "failed on purpose": 1}
    found = again(story)
    assert (found.cut, found.recent, found.failed, found.away, found.other) == (1, 0, 1, 0, 0)
    assert (found.leases, found.excused) == (1, 2)
    assert len(story.executions) - len(story.by_task) == found.excused
    assert rerun_gaps(story)["kill slot"] == [pytest.approx(0.95)]
    assert percentile(sorted([0.1] * 99 + [5.0]), 0.98) == 0.1
    assert percentile([0.1, 5.0], 0.99) == 5.0


def killed(tries: int = 20, wait_s: float = 0.3) -> Story:
    """So many tasks whose worker was killed, and that ran again after a while."""
    story = Story()
    for n in range(tries):
        at = 10.0 * n
        one, other = ran("plain1", str(n), at, how=""), ran("plain1", str(n), at + wait_s)
        one.slot = one.worker = 1000 + n
        story.executions += [one, other]
        hit = Hit("kill worker", at, at, workers=frozenset([one.worker]), kills=True)
        story.hits.append(hit)
    match_hits(story)
    return story


def test_what_had_just_ended_is_counted_apart_from_what_was_cut_off() -> None:
    story = killed(5)
    for n, ended in enumerate([0.0, 0.02, 0.04]):  # a slot's lease: two had ended, one was running
        how = "" if n == 2 else "E"
        story.executions.append(ran("plain1", f"lease{n}", 90.0 + ended, 90.02 + ended, how))
        story.executions.append(ran("plain1", f"lease{n}", 91.0 + n))
    story.hits.append(Hit("kill slot", 90.05, 90.1, slots=frozenset([SLOT]), kills=True))
    match_hits(story)
    found = again(story)
    assert (found.cut, found.recent, found.other, found.leases) == (6, 2, 0, 6)
    assert not few_reruns(story)


def test_one_re_run_more_than_was_cut_off_is_told() -> None:
    story = killed(3)
    story.executions.append(ran("plain1", "0", 200.0))  # after one that nothing has touched
    assert again(story).other == 1
    assert few_reruns(story) == ["4 re-runs, and only 3 cut off and 0 just ended"]


def test_quick_re_runs_need_samples_where_there_were_many_kills() -> None:
    assert not quick_reruns(killed(10), 100)
    assert quick_reruns(killed(9), 100) == [
        "100 kills, and only 9 re-runs after kill -9 of a worker to measure"
    ]
    assert not quick_reruns(killed(9), 99)
    assert len(quick_reruns(killed(10, wait_s=1.2), 100)) == 1


def test_the_table_says_how_many_kills_found_somebody() -> None:
    faults = Counter({"kill slot": 5, "kill worker (nobody there)": 2, "cut": 3, "kill master": 1})
    assert kill_count(faults) == 6
    text = "\n".join(lines(killed(4), faults, refused=0))
    assert "re-runs 4 beside 6 kills: 4 tries were running when they were hit and 0 had" in text


def test_a_seed_gives_the_same_faults_again_and_another_gives_others() -> None:
    assert poisson(1, 60, 0.5) == poisson(1, 60, 0.5)
    assert poisson(1, 60, 0.5) != poisson(2, 60, 0.5)
    assert kills(3, 200) == kills(3, 200)


def test_a_minute_of_chaos_has_every_kind_of_fault() -> None:
    assert {fault.kind for fault in poisson(1, 60, 0.6)} == set(WEIGHTS)
    assert {fault.kind for fault in kills(1, 200)} == set(KILLS)
    assert len(kills(1, 200)) == 200
