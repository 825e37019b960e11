"""A copy in a folder is the store as of its last commit, whatever happens to who writes it."""

from __future__ import annotations

import errno
import os
import random
import shutil
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from master.backup import replica as module
from master.backup.copied import read_copy
from master.backup.records import Commit, CopyError, Position
from master.backup.replica import Replica

PAGE = 512


class Writer:
    """Writes pages into a copy, and knows what each commit must give."""

    def __init__(self, replica: Replica, seed: int = 0) -> None:
        self.replica = replica
        self.dice = random.Random(seed)
        self.data = bytearray()
        self.commits = 0

    def whole(self, pages: int = 20) -> None:
        self.data = bytearray(self.dice.randbytes(PAGE * pages))
        self.replica.begin(10_000)
        self.replica.write(0, bytes(self.data))
        self._commit()

    def pages(self, count: int = 5) -> None:
        for _ in range(count):
            at = self.dice.randrange(0, len(self.data) // PAGE + 1) * PAGE
            page = self.dice.randbytes(PAGE)
            self.data[at : at + PAGE] = page
            self.replica.write(at, page)
        if self.dice.random() < 0.2:
            del self.data[-PAGE:]
        self._commit()

    def _commit(self) -> None:
        self.commits += 1
        position = Position(b"12345678", self.commits)
        self.replica.commit(Commit(position, len(self.data), float(self.commits)))


def copy_of(folder: Path) -> tuple[int, bytes]:
    """The number of the last commit of a copy, and its bytes."""
    path = folder.with_name("read")
    with path.open("wb") as output:
        last = read_copy(folder, output)
    return last.position.frames, path.read_bytes()


@pytest.fixture(autouse=True)
def _short_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOG_BYTES", 20_000)


@pytest.mark.parametrize("seed", range(5))
def test_a_copy_is_what_was_committed(seed: int, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    for _ in range(4):
        with closing(Replica(folder)) as replica:
            writer = Writer(replica, seed)
            assert replica.position is None or seed >= 0
            writer.whole()
            for _ in range(writer.dice.randrange(1, 60)):
                writer.pages()
        assert copy_of(folder) == (writer.commits, bytes(writer.data))
        with closing(Replica(folder)) as replica:  # it goes on where it was
            assert replica.position == Position(b"12345678", writer.commits)
            writer.replica = replica
            writer.pages()
        assert copy_of(folder) == (writer.commits, bytes(writer.data))
    assert len(list(folder.glob("[0-9]*"))) == 1


def test_a_kill_at_any_byte_of_the_log_leaves_a_commit_whole(tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    states = {}
    with closing(Replica(folder)) as replica:
        writer = Writer(replica)
        writer.whole(4)
        states[1] = bytes(writer.data)
        for _ in range(4):
            writer.pages(2)
            states[writer.commits] = bytes(writer.data)
    log = folder / "1" / "log-1"
    size = log.stat().st_size
    seen = set()
    for cut in range(size, 100, -37):
        os.truncate(log, cut)
        number, data = copy_of(folder)
        assert data == states[number]
        seen.add(number)
        with closing(Replica(folder)) as replica:
            assert replica.position == Position(b"12345678", number)
    assert seen == set(states)


def test_a_kill_while_a_log_goes_into_the_file_costs_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    with closing(Replica(folder)) as replica:
        writer = Writer(replica)
        writer.whole()
        replica._apply = lambda path: None  # type: ignore[method-assign]
        while len(list((folder / "1").glob("log-*"))) < 3:
            writer.pages()
    base = folder / "1" / "base"
    with base.open("r+b") as file:  # half of a log is there
        file.write(writer.data[: PAGE // 2])
    shutil.copytree(folder, folder.with_name("read-later"))
    assert copy_of(folder) == (writer.commits, bytes(writer.data))
    with closing(Replica(folder)):
        assert len(list((folder / "1").glob("log-*"))) == 1
    assert copy_of(folder) == (writer.commits, bytes(writer.data))


def test_a_new_copy_replaces_the_old_one_only_when_it_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    with closing(Replica(folder)) as replica:
        writer = Writer(replica)
        writer.whole()
        before = bytes(writer.data)
        replica.begin(10_000)
        replica.write(0, b"half of it")
    assert copy_of(folder) == (1, before)
    with closing(Replica(folder)) as replica:
        replica.begin(10_000)
        replica.write(0, b"half of it")
        replica.abort()
        writer.replica = replica
        writer.pages()
        assert replica.position == Position(b"12345678", 2)
    assert copy_of(folder) == (2, bytes(writer.data))


def test_what_was_written_and_not_committed_counts_for_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    with closing(Replica(folder)) as replica:
        writer = Writer(replica)
        writer.whole()
        replica.write(0, b"x" * PAGE)
        replica.abort()
        writer.pages()
        replica.write(0, b"y" * PAGE)
    assert copy_of(folder) == (2, bytes(writer.data))


def test_a_full_disk_is_one_line_and_the_copy_goes_on_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "copy"
    with closing(Replica(folder)) as replica:
        writer = Writer(replica)
        writer.whole()
        before = bytes(writer.data)

        def full(number: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, "fdatasync", full)
            with pytest.raises(CopyError, match=r"can't write the copy .*No space left on device"):
                writer.pages()
    number, data = copy_of(folder)
    assert (number, data) in [(1, before), (2, bytes(writer.data))]
    with closing(Replica(folder)) as replica:
        writer = Writer(replica)
        writer.whole()
    assert copy_of(folder) == (1, bytes(writer.data))


def test_a_whole_copy_needs_room_before_it_begins(tmp_path: Path) -> None:
    with closing(Replica(tmp_path)) as replica:
        Writer(replica).whole()
        with pytest.raises(
            CopyError, match=r"no room in .*: it takes 4096\.0 TiB, and .* are free"
        ):
            replica.begin(2**52)
    assert copy_of(tmp_path)[0] == 1


def test_two_who_write_one_copy_are_one_too_many(tmp_path: Path) -> None:
    with closing(Replica(tmp_path)) as replica:
        Writer(replica).whole()
        with pytest.raises(CopyError, match=r"another process writes the copy in .*: stop it"):
            Replica(tmp_path)
        with pytest.raises(CopyError, match="another process writes the copy"):
            copy_of(tmp_path)


def test_an_empty_folder_is_no_copy(tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    with pytest.raises(CopyError, match="has no whole copy"):
        copy_of(tmp_path / "copy")


def test_people_can_read_how_far_it_is(tmp_path: Path) -> None:
    with closing(Replica(tmp_path)) as replica:
        Writer(replica).whole()
        replica.note(17.5)
    told = msgspec.json.decode((tmp_path / "copy.json").read_bytes())
    assert told == {"complete_at": 17.5, "turn": 0, "frames": 1}
