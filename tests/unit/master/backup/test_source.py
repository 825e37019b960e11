"""What is read of a store: all of it at one moment, and then what is new, exactly."""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path

import pytest

from master.backup.records import Position
from master.backup.source import Batch, LostTrackError, Source
from queue_manager.errors import StoreError
from tests.unit.master.backup.conftest import Written, rows_of


class Mirror:
    """A file that is kept as a follower keeps it."""

    def __init__(self, source: Source, path: Path) -> None:
        self.source, self.path = source, path
        with source.held():
            batch = source.whole()
            with path.open("wb") as output:
                for offset, data in source.read(batch):
                    assert offset == output.tell()
                    output.write(data)
        self.at: Position = batch.position

    def follow(self) -> Batch | None:
        batch = self.source.since(self.at)
        if batch is not None:
            with self.path.open("r+b") as output:
                for offset, data in self.source.read_new(batch):
                    output.seek(offset)
                    output.write(data)
                output.truncate(batch.size_bytes)
            self.at = batch.position
        return batch


def test_all_of_a_store_is_read_as_of_one_moment_while_it_is_written(
    written: Written, tmp_path: Path
) -> None:
    for _ in range(5):
        written.commit(20)
    written.checkpoint()
    written.commit(5)  # of this the file has nothing yet
    with closing(Source(written.folder)) as source, source.held():
        batch = source.whole()
        before = written.rows()
        output = b""
        for _, data in source.read(batch):
            output += data
            written.commit(30, size=5_000)
            written.checkpoint() if not output else None
    (tmp_path / "copy").write_bytes(output)
    assert rows_of(tmp_path / "copy") == before


@pytest.mark.parametrize("seed", range(8))
def test_what_is_new_makes_a_copy_of_the_store_whatever_becomes_of_its_log(
    seed: int, written: Written, tmp_path: Path
) -> None:
    dice = random.Random(seed)
    written.commit(dice.randrange(200))
    if dice.random() < 0.5:
        written.checkpoint()
        written.commit(1)
    with closing(Source(written.folder)) as source:
        mirror = Mirror(source, tmp_path / "copy")
        for _ in range(60):
            for _ in range(dice.randrange(4)):
                written.commit(dice.randrange(1, 6), dice.choice([50, 3_000, 20_000]))
            if dice.random() < 0.3:  # the log begins again at most once between two looks
                written.checkpoint()
                written.commit(1)
            if dice.random() < 0.1:
                found = source.resumed(mirror.at)
                assert found in (None, mirror.at)
            mirror.follow()
            if dice.random() < 0.3:
                assert rows_of(mirror.path) == written.rows()
        mirror.follow()
    assert rows_of(mirror.path) == written.rows()


def test_the_end_of_a_turn_is_read_though_the_log_has_begun_again(
    written: Written, tmp_path: Path
) -> None:
    written.commit(50, 5_000)
    with closing(Source(written.folder)) as source:
        mirror = Mirror(source, tmp_path / "copy")
        turn = mirror.at.turn
        written.commit(10, 5_000)
        written.checkpoint()
        written.commit(3)
        batch = mirror.follow()
        assert batch is not None
        assert batch.old
        assert mirror.at.turn == turn + 1
        assert rows_of(mirror.path) == written.rows()


def test_it_is_told_when_the_log_has_gone_too_far(written: Written, tmp_path: Path) -> None:
    written.commit(5)
    with closing(Source(written.folder)) as source:
        mirror = Mirror(source, tmp_path / "copy")
        for _ in range(2):
            written.commit(5)
            written.checkpoint()
        written.commit(5)
        with pytest.raises(LostTrackError, match="more than once"):
            mirror.follow()
        mirror = Mirror(source, tmp_path / "copy")
        written.commit(1)
        written.checkpoint()
        written.commit(500, 5_000)  # longer than the turn before: its end is overwritten
        with pytest.raises(LostTrackError, match="before its end was read"):
            mirror.follow()


def test_a_log_that_is_held_does_not_begin_again(written: Written, tmp_path: Path) -> None:
    written.commit(5)
    with closing(Source(written.folder)) as source:
        mirror = Mirror(source, tmp_path / "copy")
        source.hold()
        for _ in range(4):
            written.commit(5)
            written.checkpoint()
        mirror.follow()
        source.let_go()
        written.commit(5)
        mirror.follow()
        assert rows_of(mirror.path) == written.rows()


def test_a_copy_goes_on_where_it_was_and_one_of_another_store_does_not(
    written: Written, tmp_path: Path
) -> None:
    written.commit(5)
    with closing(Source(written.folder)) as source:
        mirror = Mirror(source, tmp_path / "copy")
    written.commit(5)
    with closing(Source(written.folder)) as source:
        found = source.resumed(mirror.at)
        assert found is not None
        mirror.source, mirror.at = source, found
        mirror.follow()
        assert rows_of(mirror.path) == written.rows()
    other = Written(tmp_path / "other")
    other.commit(50)
    with closing(Source(other.folder)) as source:
        assert source.resumed(mirror.at) is None
    other.store.close()


def test_a_store_that_is_put_in_the_place_of_another_is_noticed(
    written: Written, tmp_path: Path
) -> None:
    with closing(Source(written.folder)) as source:
        assert source.is_there()
        source.path.rename(tmp_path / "away")
        assert not source.is_there()
        source.path.write_bytes(b"")
        assert not source.is_there()


def test_a_folder_without_a_store_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store in"):
        Source(tmp_path)
    (tmp_path / "queue.sqlite3").write_bytes(b"")
    with pytest.raises(StoreError, match="is no store of a master"):
        Source(tmp_path)
    (tmp_path / "queue.sqlite3").write_bytes(b"nothing of SQLite's" * 100)
    with pytest.raises(StoreError, match="can't read"):
        Source(tmp_path)
