"""What has ended, in a store of plain dicts."""

from __future__ import annotations

from master.changes import BlockRecord, OutcomeRecord
from master.reads import LetterPage, LettersSought, OutcomePage, ResultPage, TaskRecord
from queue_manager.job.failures import is_chosen
from queue_manager.wire.failures import FailureFilter
from queue_manager.wire.records import BLOCK_TASKS, DeadLetter, Ended, ResultBlock
from tests.memory_kept import Kept, letter_of

ROW_BYTES = 256
PLACES = 2 * BLOCK_TASKS


def read_outcomes(kept: Kept, run: int, after: int, limit_bytes: int) -> OutcomePage:
    """As `Store.read_outcomes`."""
    found: list[OutcomeRecord] = []
    bodies: dict[int, bytes] = {}
    size = 0
    for outcome in kept.outcomes_behind(run, after):
        found.append(outcome)
        size += len(outcome.results) + ROW_BYTES
        if outcome.block and not outcome.is_cancelled and outcome.first not in bodies:
            bodies[outcome.first] = kept.body(outcome.block)
            size += len(bodies[outcome.first])
        if size >= limit_bytes:
            break
    return OutcomePage(found, bodies)


def read_letters(
    kept: Kept, run: int, after: int, limit_bytes: int, until: int
) -> tuple[list[DeadLetter], bool]:
    """As `Store.read_letters`."""
    dead = [s for s in kept.tracked.values() if s.run == run and s.state == "dead"]
    found: list[DeadLetter] = []
    size = 0
    for record in sorted(dead, key=lambda s: s.seq):
        if not after < record.seq <= until:
            continue
        if found and size >= limit_bytes:
            return found, False
        found.append(letter_of(record))
        size += letter_size(found[-1])
    return found, True


def choose_letters(kept: Kept, sought: LettersSought) -> LetterPage:
    """As a page of `Store.read`. A place is a task, or the number of a dead letter."""
    by_task = bool(sought.only.tasks)
    letters = [s for s in kept.tracked.values() if s.run == sought.run and s.state == "dead"]
    places = sorted((s.task if by_task else s.seq, s) for s in letters if s.seq <= sought.until)
    found: list[tuple[int, str | None]] = []
    size = 0
    for place, record in places:
        if place <= sought.after:
            continue
        letter = letter_of(record)
        if is_chosen(sought.only, letter):
            found.append((record.task, record.group))
        size += ROW_BYTES + letter_size(letter)
        if size >= sought.limit_bytes:
            return LetterPage(found, place, complete=False)
    return LetterPage(found, 0, complete=True)


def letter_size(letter: DeadLetter) -> int:
    texts = letter.error + letter.evidence + letter.printed
    return len(texts) + len(letter.raised) + ROW_BYTES


def read_last_outcomes(kept: Kept, run: int, limit: int) -> OutcomePage:
    """As `Store.read_last_outcomes`."""
    found = kept.outcomes_behind(run, -1)[-limit:]
    return OutcomePage(found, {o.first: kept.body(o.block) for o in found if o.block})


def read_results(kept: Kept, run: int, after: int, limit_bytes: int, dead: bool) -> ResultPage:
    """As `Store.read_results`."""
    found: list[ResultBlock] = []
    last, size = after, 0
    number, into = divmod(after, PLACES)
    for block in kept.blocks_of(run):
        start = into if block.id == number else 0
        if block.id < number or (block.id == number and not into):
            continue
        if dead and not kept.dead_of(block):
            continue
        if size >= limit_bytes:
            return ResultPage(found, last, complete=False)
        result, stop = _result_block(kept, block, start, limit_bytes - size, dead)
        last = block.id * PLACES + (stop or 0)
        size += ROW_BYTES
        if result.ended or result.dead:
            found.append(result)
            size += len(result.body) + sum(len(key) for key in result.keys or ())
            size += sum(len(e.results) + ROW_BYTES for e in result.ended)
            size += sum(map(letter_size, result.dead))
        if stop is not None:
            return ResultPage(found, last, complete=False)
    return ResultPage(found, last, complete=True)


def read_chosen(
    kept: Kept, run: int, after: int, limit_bytes: int, only: FailureFilter
) -> ResultPage:
    """As `Store.read_chosen`."""
    found: list[ResultBlock] = []
    last, size = after, 0
    number, into = divmod(after, PLACES)
    for block in kept.blocks_of(run):
        if block.id < number or (block.id == number and not into):
            continue
        start = block.first + (into if block.id == number else 0)
        for letter in kept.dead_of(block):
            if letter.task < start:
                continue
            if size >= limit_bytes:
                return ResultPage(found, last, complete=False)
            last = block.id * PLACES + letter.task - block.first + 1
            size += ROW_BYTES
            if is_chosen(only, letter):
                if not found or found[-1].first != block.first:
                    of = (block.first, block.count, block.body, block.keys)
                    found.append(ResultBlock(*of, [], [], {}))
                found[-1].dead.append(letter)
                found[-1].attempts[letter.task] = letter.attempts
                size += letter_size(letter)
    return ResultPage(found, last, complete=True)


def _result_block(
    kept: Kept, block: BlockRecord, into: int, limit_bytes: int, only_dead: bool
) -> tuple[ResultBlock, int | None]:
    stop = None
    ended: list[Ended] = []
    for o in [] if only_dead else kept.outcomes_of(block):
        if o.start < into or o.is_cancelled:
            continue
        if ended and limit_bytes <= 0:
            stop = o.start
            break
        ended.append(Ended(o.seq, o.first, o.start, o.stop, o.results))
        limit_bytes -= len(o.results) + ROW_BYTES
    tasks = range(block.first + into, block.first + (block.count if stop is None else stop))
    told = [s for s in kept.tracked_of(block) if s.state == "dead" or not only_dead]
    dead = [letter for letter in kept.dead_of(block) if letter.task in tasks]
    attempts = {s.task: s.attempts for s in told if s.task in tasks}
    found = ResultBlock(block.first, block.count, block.body, block.keys, ended, dead, attempts)
    return found, stop


def read_task(kept: Kept, run: int, task: int) -> TaskRecord | None:
    """As `Store.read_task`."""
    for b in kept.blocks_of(run):
        if b.first <= task < b.first + b.count:
            at = task - b.first
            key = None if b.keys is None else b.keys[at]
            outcome = next((o for o in kept.outcomes_of(b) if o.start <= at < o.stop), None)
            record = kept.tracked.get((run, task))
            return TaskRecord(run, b.id, at, b.body, key, b.group, b.priority, outcome, record)
    return None


def find_task(kept: Kept, run: int, key: str) -> int:
    """As `Store.find_task`."""
    with_keys = [b for b in kept.blocks_of(run) if b.keys is not None][-1024:]
    return next((b.first + b.keys.index(key) for b in with_keys if key in (b.keys or ())), 0)
