"""A copy becomes a store again: checked, with new numbers, the old store beside it."""

from __future__ import annotations

import io
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from master.backup.checking import check_file
from master.backup.once import copy_to_file, copy_to_stream
from master.backup.restoring import restore
from master.store.sqlite.engine import SqliteStore
from queue_manager.errors import InputError, OutputError, StoreBusyError, StoreError
from tests.unit.master.backup.conftest import Written, rows_of


def test_a_backup_of_a_running_master_is_its_store(written: Written, tmp_path: Path) -> None:
    written.commit(30, 5_000)
    shown: list[tuple[int, int]] = []
    copied = copy_to_file(written.folder, tmp_path / "b", lambda *told: shown.append(told))
    assert rows_of(tmp_path / "b") == written.rows()
    assert copied.checked is not None
    assert copied.checked.text.startswith(f"{copied.size_bytes / 1024:.1f} KiB, 1 run, 0 tasks")
    assert shown[-1] == (copied.size_bytes, copied.size_bytes)
    output = io.BytesIO()
    copy_to_stream(written.folder, output)
    (tmp_path / "s").write_bytes(output.getvalue())
    assert rows_of(tmp_path / "s") == written.rows()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "data", "s"]


def test_a_backup_of_a_master_at_rest_is_its_store(written: Written, tmp_path: Path) -> None:
    written.commit(30)
    rows = written.rows()
    written.store.close()
    copy_to_file(written.folder, tmp_path / "b")
    assert rows_of(tmp_path / "b") == rows
    written.store = SqliteStore(written.folder)


def test_a_backup_that_can_not_be_written_leaves_the_one_before(
    written: Written, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match=r"can't write .*no/b: No such file or directory"):
        copy_to_file(written.folder, tmp_path / "no" / "b")
    with pytest.raises(StoreError, match="there is no store in"):
        copy_to_file(tmp_path / "nothing", tmp_path / "b")
    assert not (tmp_path / "b").exists()
    written.db.execute("PRAGMA writable_schema = ON")
    written.db.execute("UPDATE sqlite_schema SET rootpage = 3 WHERE name = 'texts'")
    (tmp_path / "b").write_bytes(b"the one before")
    with pytest.raises(StoreError, match="is damaged"):
        copy_to_file(written.folder, tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"the one before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "data"]


def test_a_restored_store_has_all_and_gives_no_number_twice(
    written: Written, tmp_path: Path
) -> None:
    written.commit(30)
    copy_to_file(written.folder, tmp_path / "b")
    epoch = written.store.epoch
    written.commit(500)  # lost
    written.store.close()
    restored = restore(written.folder, tmp_path / "b")
    assert restored.kept is not None
    assert restored.checked.runs == 1
    store = written.store = SqliteStore(written.folder)
    assert written.db.execute("SELECT COUNT(*) FROM blocks").fetchone() == (30,)
    assert store.next_block > 530
    assert store.next_seq > 2**31
    assert store.next_run == 1_002
    assert store.epoch > epoch + 999
    with closing(sqlite3.connect(restored.kept / "queue.sqlite3")) as old:
        assert old.execute("SELECT COUNT(*) FROM blocks").fetchone() == (530,)


def test_a_store_whose_master_was_killed_is_kept_with_its_log(
    written: Written, tmp_path: Path
) -> None:
    written.commit(30)
    killed = tmp_path / "killed"
    shutil.copytree(written.folder, killed)
    copy_to_file(written.folder, tmp_path / "b")
    rows = written.rows()
    kept = restore(killed, tmp_path / "b").kept
    assert kept is not None
    assert rows_of(kept / "queue.sqlite3") == rows
    SqliteStore(killed).close()


def test_a_stream_is_restored(written: Written, tmp_path: Path) -> None:
    written.commit(30)
    output = io.BytesIO()
    copy_to_stream(written.folder, output)
    restored = restore(tmp_path / "new", io.BytesIO(output.getvalue()))
    assert restored.kept is None
    assert SqliteStore(tmp_path / "new").identity == written.store.identity
    with pytest.raises(StoreError, match="is damaged, or no store"):
        restore(tmp_path / "new", io.BytesIO(output.getvalue()[:-5_000]))
    assert check_file(tmp_path / "new" / "queue.sqlite3").runs == 1


def test_what_is_refused_leaves_the_store_alone(written: Written, tmp_path: Path) -> None:
    copy_to_file(written.folder, tmp_path / "b")
    with pytest.raises(StoreBusyError, match="is in use by the master with process id"):
        restore(written.folder, tmp_path / "b")
    rows = written.rows()
    written.store.close()
    with pytest.raises(InputError, match="there is no "):
        restore(written.folder, tmp_path / "none")
    (tmp_path / "text").write_text("nothing of SQLite's" * 100)
    with pytest.raises(StoreError, match="is damaged, or no store"):
        restore(written.folder, tmp_path / "text")
    with closing(sqlite3.connect(tmp_path / "b")) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="has schema 99, this release knows"):
        restore(written.folder, tmp_path / "b")
    assert rows_of(written.folder / "queue.sqlite3") == rows
    assert not list(written.folder.glob(".*"))
    written.store = SqliteStore(written.folder)
