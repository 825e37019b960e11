"""What must hold after healing and draining. Each check returns what is wrong, in words.

Source of the list: the queue checkers of Jepsen (all that was accepted comes out, nothing else),
and the promises in docs/design.md.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

from .evidence import Execution, RunStory, Story
from .table import rerun_gaps

COLLECT_S = 0.1
GIVEN_UP_S = 15.0
QUEUE_S = 5.0
"""What was offered again in time may have to wait for a slot: a long task of ours takes 4 s."""

LATE_S = 0.1
"""every_s is kept by the master between the moments it gives leases; a start follows its lease
by a trip through supervisor and pipe, some ms, more on a machine that keeps processes waiting."""

Check = Callable[[Story], Iterator[str]]
CHECKS: list[tuple[str, Check]] = []


def check(what: str) -> Callable[[Check], Check]:
    """Register a check under the sentence that it holds."""

    def register(function: Check) -> Check:
        CHECKS.append((what, function))
        return function

    return register


def violations(story: Story) -> dict[str, list[str]]:
    """By sentence, what breaks it; sentences that hold are there with an empty list."""
    return {what: list(function(story)) for what, function in CHECKS}


def _item(row: dict[str, object]) -> str:
    payload = row["payload"]
    assert isinstance(payload, list)
    return str(payload[1])


# --- what is recorded ---


@check("nothing went wrong on the way")
def no_troubles(story: Story) -> Iterator[str]:
    yield from story.troubles


@check("submitted = done + dead + cancelled")
def all_ended(story: Story) -> Iterator[str]:
    for run in story.runs:
        row = run.row
        if not row:
            yield f"{run.tag}: the master has no such run"
            continue
        ended = row["done"] + row["dead"] + row["cancelled"]
        if row["state"] not in ("done", "failed", "cancelled") or row["tasks"] != ended:
            yield f"{run.tag}: {row}"
        if run.cancelled:
            continue
        missing = set(run.expected) - {_item(r) for r in run.rows}
        if missing:
            yield f"{run.tag}: {len(missing)} lost: {sorted(missing)[:5]}"


@check("nothing is invented, and each task has one record")
def nothing_invented(story: Story) -> Iterator[str]:
    for run in story.runs:
        for item, count in Counter(_item(row) for row in run.rows).items():
            if item not in run.expected:
                yield f"{run.tag}: {item} was never submitted"
            if count > 1:
                yield f"{run.tag}: {item} was recorded {count} times"
    known = {run.tag for run in story.runs} | {tag for tag, _ in story.tried}
    for execution in story.executions:
        if execution.task[0] not in known:
            yield f"{execution.task} was run and never submitted"


@check("every recorded result is the right one")
def right_results(story: Story) -> Iterator[str]:
    for run in story.runs:
        for row in run.rows:
            expected = run.expected.get(_item(row))
            if row["state"] == "done" and expected and row["result"] != expected.result:
                yield f"{run.tag}: {row}"


@check("nothing innocent is a dead letter; what is one says what happened")
def dead_letters(story: Story) -> Iterator[str]:
    for run in story.runs:
        for row in run.rows:
            expected = run.expected.get(_item(row))
            if expected is None:
                continue
            if row["state"] == "dead" and expected.dead is None:
                if not _beaten(story, run, row):
                    yield f"{run.tag}: {_item(row)} is innocent: {row['error']!r}"
            elif row["state"] == "done" and expected.dead is not None:
                yield f"{run.tag}: {_item(row)} should be a dead letter"
            elif row["state"] == "dead":
                pattern = f"{expected.dead}|SIGKILL" if _hits(story, run, row) else expected.dead
                if not re.search(str(pattern), row["error"] or ""):
                    yield f"{run.tag}: {_item(row)} says {row['error']!r}, not {expected.dead!r}"


def _hits(story: Story, run: RunStory, row: dict[str, object]) -> list[Execution]:
    return [e for e in story.by_task.get((run.tag, _item(row)), []) if e.hits]


def _beaten(story: Story, run: RunStory, row: dict[str, object]) -> bool:
    """Whether the chaos itself hit that one task as often as it takes."""
    hit = _hits(story, run, row)
    charged = sum(any(h.charges for h in e.hits) for e in hit)
    return charged >= run.attempts or len(hit) >= run.losses


def _kills_without_a_try(story: Story) -> int:
    """Kills of slots that cut off no try that the diary knows.

    A slot may die between the start of a task, which is charged, and the first line of `work`,
    which writes the diary. Each such kill excuses one charge.
    """
    cut = {hit for execution in story.executions for hit in execution.hits}
    return sum(hit.kills and hit.charges and hit not in cut for hit in story.hits)


@check("no attempt is charged that was none, and never more than the limit")
def attempts(story: Story) -> Iterator[str]:
    unwritten = _kills_without_a_try(story)
    for run in story.runs:
        for row in run.rows:
            tries = story.by_task.get((run.tag, _item(row)), [])
            charged = sum(e.how == "F" or any(h.charges for h in e.hits) for e in tries)
            most = charged + (row["state"] == "done")
            if unwritten and row["attempts"] == max(most, 1) + 1 <= run.attempts:
                unwritten -= 1
            elif row["attempts"] > min(run.attempts, max(most, 1)):
                yield f"{run.tag}: {_item(row)} has {row['attempts']} attempts, at most {most} fit"


@check("a parent is done <=> its follow-ups are recorded")
def follow_ups(story: Story) -> Iterator[str]:
    for run in story.runs:
        if run.cancelled:
            continue
        done = {_item(row) for row in run.rows if row["state"] == "done"}
        known = {_item(row) for row in run.rows}
        for item, expected in run.expected.items():
            if expected.parent is not None and (item in known) != (expected.parent in done):
                yield f"{run.tag}: {item} and its parent {expected.parent} disagree"


# --- what was run ---


def was_away(execution: Execution) -> bool:
    """Whether it was started by a worker or slot that was frozen or cut off by then."""
    return any(not hit.kills and hit.begin <= execution.start for hit in execution.hits)


@check("executions <= 1 + faults on that task")
def executions(story: Story) -> Iterator[str]:
    """After a try that no fault has touched there is none, but for what a lost worker still held.

    A worker that was frozen or cut off may start it, too, until it hears that its lease is over.
    """
    for task, tries in story.by_task.items():
        fine = next((n for n, e in enumerate(tries) if not e.excused), len(tries))
        if any(not was_away(e) for e in tries[fine + 1 :]):
            told = [f"{e.slot}: {e.start:.3f} to {e.end or 0:.3f} {e.how}" for e in tries]
            yield f"{task} ran {len(tries)} times: {told}"


@check("at most one valid lease per task at any instant")
def one_lease(story: Story) -> Iterator[str]:
    """What the diary can tell of it: a try that begins while another one runs that nothing has
    touched by then, though it may be touched later. Leases whose task does not run are the
    simulation's (`tests/simulation/judge.py`)."""
    for task, tries in story.by_task.items():
        for one, other in itertools.combinations(tries, 2):
            valid = one.gone_at is None or other.start < one.gone_at
            if valid and not was_away(other):
                yield (
                    f"{task} began at {other.start:.3f} in {other.slot}, while {one.slot} had it"
                    f" from {one.start:.3f} to {one.gone_at or 0:.3f}"
                )


@check("what a fault has cut off runs again in 15 s")
def reruns_in_time(story: Story) -> Iterator[str]:
    for kind, gaps in rerun_gaps(story).items():
        if gaps[-1] > GIVEN_UP_S + QUEUE_S:
            yield f"after {kind!r} a task waited {gaps[-1]:.1f} s"


@check("what is done was run")
def done_was_run(story: Story) -> Iterator[str]:
    for run in story.runs:
        for row in run.rows:
            tries = story.by_task.get((run.tag, _item(row)), [])
            if row["state"] == "done" and not any(e.how == "E" for e in tries):
                yield f"{run.tag}: {_item(row)} is done without a whole execution"


@check("a delay is kept")
def delays(story: Story) -> Iterator[str]:
    for task, (yielded, delay_s) in story.yields.items():
        for execution in story.by_task.get(task, [])[:1]:
            if execution.start < yielded + delay_s - 0.001:
                yield f"{task} ran {execution.start - yielded:.3f} s after its yield, not {delay_s}"


AT_ONCE, EVERY_S = 2, 0.2


@check("limits per group are never exceeded")
def group_limits(story: Story) -> Iterator[str]:
    limited = {run.tag for run in story.runs if run.job == "polite"}
    groups: dict[tuple[str, str], list[Execution]] = defaultdict(list)
    for execution in story.executions:
        if execution.task[0] in limited:
            groups[execution.task[0], execution.task[1].split(":")[0]].append(execution)
    for group, tries in groups.items():
        tries.sort(key=lambda e: e.start)
        yield from _too_soon(story, group, tries)
        yield from _too_many(group, tries)


def _too_soon(story: Story, group: object, tries: list[Execution]) -> Iterator[str]:
    for one, other in itertools.pairwise(tries):
        late_s = LATE_S + story.lag(one.start - 1.0, other.start)
        late_s += story.frozen(one.start - 1.0, other.start)
        if other.start - one.start < EVERY_S - late_s and not (was_away(one) or was_away(other)):
            yield f"{group}: starts {other.start - one.start:.3f} s apart, not {EVERY_S}"


def _too_many(group: object, tries: list[Execution]) -> Iterator[str]:
    for execution in tries:
        at = execution.start
        running = [e for e in tries if e.start <= at and (e.gone_at is None or e.gone_at > at)]
        if len(running) > AT_ONCE:
            yield f"{group}: {len(running)} at once at {at:.3f}: {[e.task[1] for e in running]}"


# --- what was given out ---


@check("collect() saw every result, and repeats at most its last 0.1 s")
def collected(story: Story) -> Iterator[str]:
    seen: dict[tuple[str, str], list[float]] = defaultdict(list)
    last_of: dict[tuple[str, int], float] = {}
    deaths = sorted(h.begin for h in story.hits if h.kind in ("kill runner", "kill master"))
    for call in story.calls:
        if not call.right:
            yield f"{call.task}: collect() was given a wrong result"
        seen[call.task].append(call.at)
        last_of[call.task[0], call.runner] = call.at
    for task, times in seen.items():
        for one, other in itertools.pairwise(times):
            died = [at for at in deaths if one - 0.05 <= at <= other]
            allowed = COLLECT_S + story.lag(one - 0.5, one + 0.5)
            if not died:
                yield f"{task} was collected twice, and nobody died between"
            elif min(died) - one > allowed and not _unrecorded(story, one, other):
                yield f"{task} was repeated though collected {min(died) - one:.3f} s before"
    for run in story.runs:
        if run.job == "gather" and not run.cancelled:
            done = {_item(row) for row in run.rows if row["state"] == "done"}
            missing = [item for item in done if (run.tag, item) not in seen]
            if missing:
                yield f"{run.tag}: {len(missing)} never collected: {missing[:5]}"


def _unrecorded(story: Story, begin: float, end: float) -> bool:
    """Whether receipts could not be written then."""
    kinds = ("full disk", "stop master")
    return any(h.kind in kinds and h.begin <= end and begin <= h.end for h in story.hits)


@check("the queue run has what was put, once, and every result was read")
def stock_queue(story: Story) -> Iterator[str]:
    recorded = Counter((row["payload"][0], row["payload"][1]) for row in story.queue_rows)
    for task in story.put - set(recorded):
        yield f"{task} was acknowledged and is lost"
    for task, count in recorded.items():
        if task not in story.tried:
            yield f"{task} was never put"
        if count > 1:
            yield f"{task} is there {count} times"
    results = {str(row["result"][1]): row for row in story.queue_rows if row["state"] == "done"}
    unread = set(results) - set(story.read_results)
    if unread:
        yield f"{len(unread)} results never came: {sorted(unread)[:5]}"
    for result in set(story.read_results) - set(results):
        yield f"a result was read that is not recorded: {result}"
