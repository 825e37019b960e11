"""One process runs many uploaded functions, one after the other, where that is safe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from queue_manager import Options, codec
from queue_manager.client.code.pack import pack
from worker.slot import main

MARK = "# An uploaded function.\n"
WORK = "def work(n): return n\n"
BY_SOURCE = {"f.py": MARK + "from helper import work\n", "helper.py": WORK}


class Folders:
    """Folders as a worker makes them for code from the master, and leases of that code."""

    def __init__(self, slot: Any, jobs: Any, root: Path) -> None:
        self._slot, self._jobs, self._root = slot, jobs, root

    def of(self, files: dict[str, bytes]) -> Path:
        folder = self._root / f"version {len(list(self._root.iterdir()))}"
        folder.mkdir()
        for name, data in files.items():
            (folder / name).write_bytes(data)
        return folder

    def give(self, files: dict[str, Any], job: str = "f") -> None:
        encoded = {k: v.encode() if isinstance(v, str) else v for k, v in files.items()}
        self._slot.give(self._jobs.lease([3], job), folder=self.of(encoded))

    def call(self, function: Callable[[int], Any], **options: Any) -> Any:
        """What a function of a client returns for 3."""
        packed = pack(function, options=Options(**options))
        self.give(packed.files, packed.job)
        return self.result()

    def result(self) -> Any:
        (done,) = self._slot.outcomes()
        return codec.decode_batch(done.results)[0]

    def leaves(self) -> bool:
        """Whether the slot gives the lease to a fresh process."""
        report = self._slot.report()
        assert not report.outcomes
        return bool(report.leaving)


@pytest.fixture
def code(slot: Any, jobs: Any, tmp_path: Path) -> Folders:
    root = tmp_path / "code"
    root.mkdir()
    return Folders(slot, jobs, root)


def test_functions_of_clients_follow_each_other_in_one_process(code: Folders) -> None:
    """A map has its first result at once, where a start would take a twentieth of a second."""
    scale = 10
    assert code.call(lambda n: n * n) == 9
    assert code.call(lambda n: n * scale) == 30
    assert code.call(abs) == 3
    assert code.call(lambda n: n * n) == 9


@pytest.mark.parametrize("files", [BY_SOURCE, {"f.py": WORK}], ids=["its modules", "no entry"])
def test_before_code_with_modules_the_process_is_replaced(code: Folders, files: Any) -> None:
    """It might find a library in memory that has the name of one of these modules."""
    code.call(lambda n: n)
    code.give(files)
    assert code.leaves()


def test_behind_code_with_modules_the_process_is_replaced(code: Folders) -> None:
    """Its later imports would find nothing."""
    code.give(BY_SOURCE)
    assert code.result() == 3
    code.give({"f.py": MARK + WORK})
    assert code.leaves()


def test_behind_a_job_of_the_folder_the_process_is_replaced(
    code: Folders, jobs: Any, slot: Any
) -> None:
    jobs.write(WORK)
    slot.run([1])
    code.give({"f.py": MARK + WORK})
    assert code.leaves()


def test_an_async_function_keeps_its_process(code: Folders) -> None:
    """Its loop, and what was started in it, belong to it."""
    code.give({"f.py": MARK + "async " + WORK})
    assert code.result() == 3
    code.give({"f.py": MARK + WORK, "f.pickle": b""})
    assert code.leaves()


def test_a_memory_limit_keeps_its_process(code: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "_limit_memory", lambda memory_bytes: None)
    assert code.call(lambda n: n, memory_bytes=1 << 30) == 3
    code.give({"lambda_.py": MARK + WORK}, "lambda_")
    assert code.leaves()


def test_after_many_functions_the_process_is_replaced(
    code: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they leave in the memory of libraries does not pile up."""
    monkeypatch.setattr(main, "FUNCTIONS", 2)
    assert code.call(lambda n: n) == 3
    assert code.call(lambda n: n + 1) == 4
    code.give({"f.py": MARK + WORK})
    assert code.leaves()


def test_what_a_function_holds_is_freed_before_the_next(code: Folders, tmp_path: Path) -> None:
    """Here an object in a cycle, as every function of a module is with its module."""
    gone = tmp_path / "gone"
    held = f"""
class Held:
    def __del__(self, touch=__import__("pathlib").Path({str(gone)!r}).touch):
        touch()
held = Held()
held.itself = held
"""
    code.give({"f.py": MARK + held + WORK})
    assert code.result() == 3
    assert not gone.exists()
    assert code.call(lambda n: n) == 3
    assert gone.exists()
