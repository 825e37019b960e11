"""Files by their content: whole or not there."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jobs.crawl.keep.files import IN_MEMORY_BYTES, OLD_S, PART, Incoming, Store

REPO = Path(__file__).resolve().parents[5]
LARGE = b"0123456789" * (IN_MEMORY_BYTES // 10 + 20_000)


def name_of(body: bytes) -> str:
    digest = hashlib.sha256(body).hexdigest()
    return f"{digest[:2]}/{digest[2:]}.png"


def taken(store: Store, body: bytes, size: int = 100_000) -> Incoming:
    incoming = store.incoming()
    for start in range(0, len(body), size):
        incoming.write(body[start : start + size])
    return incoming


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.mark.parametrize("body", [b"", b"small", LARGE], ids=["empty", "small", "large"])
def test_a_file_has_the_name_of_its_content(store: Store, body: bytes) -> None:
    incoming = taken(store, body)
    assert incoming.size_bytes == len(body)
    assert incoming.head == body[:IN_MEMORY_BYTES]
    assert incoming.whole() == body
    assert incoming.keep("png") == name_of(body)
    assert files(store.folder) == [name_of(body)]
    assert (store.folder / name_of(body)).read_bytes() == body


def test_of_two_that_bring_the_same_there_is_one_file(store: Store) -> None:
    first, second = taken(store, LARGE), taken(Store(store.folder), LARGE)
    assert first.keep("png") == second.keep("png") == name_of(LARGE)
    assert files(store.folder) == [name_of(LARGE)]


def test_what_is_there_already_is_not_written_again(store: Store) -> None:
    taken(store, b"same").keep("png")
    path = store.folder / name_of(b"same")
    before = path.stat()
    taken(store, b"same").keep("png")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_file_that_was_cut_in_a_power_cut_is_written_again(store: Store) -> None:
    taken(store, b"same").keep("png")
    os.truncate(store.folder / name_of(b"same"), 0)
    taken(store, b"same").keep("png")
    assert (store.folder / name_of(b"same")).read_bytes() == b"same"


def test_many_writers_of_the_same_never_show_half_of_it(store: Store) -> None:
    path = store.folder / name_of(LARGE)
    over = threading.Event()
    halves: list[int] = []

    def look() -> None:
        while not over.is_set():
            with contextlib.suppress(FileNotFoundError):
                if (size := path.stat().st_size) != len(LARGE):
                    halves.append(size)

    def write() -> None:
        for _ in range(10):
            taken(Store(store.folder), LARGE).keep("png")
            path.unlink(missing_ok=True)

    looking = threading.Thread(target=look)
    looking.start()
    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    over.set()
    looking.join()
    assert halves == []
    assert [name for name in files(store.folder) if name.startswith(PART)] == []


def test_what_is_dropped_leaves_nothing(store: Store) -> None:
    incoming = taken(store, LARGE)
    assert len(files(store.folder)) == 1
    incoming.drop()
    incoming.drop()
    assert files(store.folder) == []


def test_more_than_a_megabyte_is_not_kept_in_memory(store: Store) -> None:
    incoming = store.incoming()
    incoming.write(LARGE[:IN_MEMORY_BYTES])
    assert files(store.folder) == []
    incoming.write(LARGE[IN_MEMORY_BYTES:])
    (part,) = files(store.folder)
    assert part.startswith(f"{PART}/")
    assert (store.folder / part).stat().st_size == len(LARGE)
    incoming.drop()


def test_a_writer_that_is_killed_leaves_only_a_part(store: Store) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from jobs.crawl.keep.files import Store\n"
        "incoming = Store(Path(sys.argv[1])).incoming(); incoming.write(b'x' * 3_000_000)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    words = [sys.executable, "-c", script, str(store.folder)]
    assert subprocess.run(words, cwd=REPO, check=False).returncode == -9
    (part,) = files(store.folder)
    assert part.startswith(f"{PART}/")
    store.sweep()
    assert files(store.folder) == [part]  # it may be somebody's who is at it
    old = time.time() - OLD_S - 1
    os.utime(store.folder / part, (old, old))
    store.sweep()
    assert files(store.folder) == []


def test_sweeping_what_is_not_there_is_nothing(tmp_path: Path) -> None:
    Store(tmp_path / "none").sweep()
    assert not (tmp_path / "none").exists()


def test_a_full_disk_is_an_error_and_leaves_no_file(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, data: object) -> int:
        raise OSError(28, "No space left on device")

    incoming = taken(store, b"small")
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        incoming.keep("png")
    assert files(store.folder) == []


def test_a_file_of_another_size_is_not_the_one(store: Store) -> None:
    name = taken(store, b"small").keep("png")
    assert store.has(name, 5)
    assert not store.has(name, 6)
    assert not store.has("no/such.png", 5)


def test_threads_get_names_of_their_own_for_what_is_unfinished(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        names = [n for many in pool.map(lambda _: [store.part_name() for _ in range(2000)], "abcd")
                 for n in many]  # fmt: skip
    assert len(set(names)) == 8000
