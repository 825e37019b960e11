"""Single questions to a store, which `Store.read` answers many at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from master.changes import BlockState, QuotaCounts
from master.reads import LetterPage, LettersSought, ReadAnswer, ReadRequest
from master.store.contract import Store
from queue_manager.wire.failures import FailureFilter
from queue_manager.wire.records import DeadLetter


def _read(store: Store, request: ReadRequest) -> ReadAnswer:
    answer = store.read(request)
    assert isinstance(answer, ReadAnswer)  # these stores answer at once
    return answer


def taken_keys(store: Store, run: int, keys: Sequence[str]) -> set[str]:
    """Which of these keys the run has."""
    return _read(store, ReadRequest(task_keys={run: list(keys)})).taken_keys[run]


def quota_of(store: Store, run: int, name: str) -> QuotaCounts:
    """What one quota of a run has counted."""
    return _read(store, ReadRequest(quotas={(run, name)})).quotas[run, name]


def block_states(store: Store, parts: Mapping[int, tuple[int, int]]) -> dict[int, BlockState]:
    """How these parts of blocks stand."""
    return _read(store, ReadRequest(blocks=dict(parts))).blocks


def run_of_key(store: Store, key: str) -> int | None:
    """The number of the run with this key."""
    found = _read(store, ReadRequest(run_keys={key})).run_keys.get(key)
    return None if found is None else found.record.id


def chosen_letters(store: Store, sought: LettersSought) -> LetterPage:
    """A page of the dead letters that a filter chooses."""
    return _read(store, ReadRequest(letters={sought})).letters[sought]


def all_letters(
    store: Store, run: int, only: FailureFilter, until: int = 2**62, limit_bytes: int = 600
) -> list[tuple[int, str | None]]:
    """The dead letters that a filter chooses, in pages that look at about so many bytes."""
    found: list[tuple[int, str | None]] = []
    place = 0
    for _ in range(10_000):
        page = chosen_letters(store, LettersSought(run, only, place, until, limit_bytes))
        found += page.letters
        if page.complete:
            return found
        assert page.place > place
        place = page.place
    raise AssertionError("it goes on for ever")


def all_chosen(
    store: Store, run: int, only: FailureFilter, limit_bytes: int = 600
) -> list[DeadLetter]:
    """The dead letters that a filter chooses, whole, in pages that look at about so many bytes."""
    found: list[DeadLetter] = []
    place = 0
    for _ in range(10_000):
        blocks, after, complete = store.read_chosen(run, place, limit_bytes, only)
        for block in blocks:
            assert block.dead, "a block without chosen letters is in no page"
            assert all(block.first <= d.task < block.first + block.count for d in block.dead)
            assert block.attempts == {d.task: d.attempts for d in block.dead}
            found += block.dead
        if complete:
            return found
        assert after > place
        place = after
    raise AssertionError("it goes on for ever")


def code_of(store: Store, *versions: str) -> dict[str, dict[str, bytes]]:
    """The files of these versions of uploaded code, of those that are there."""
    return dict(_read(store, ReadRequest(code=set(versions))).code)
