"""CPython's own tests of executors and futures, run against ours.

They are those of the Python that runs this: the files of `test.test_concurrent_futures`, copied to
a folder of their own, so that their functions travel to the workers as a user's module does.
Classes that are about threads or processes of an executor's own are not run. LEFT_OUT says which
tests of the others are not, and why.
"""

from __future__ import annotations

import concurrent.futures
import importlib
import logging
import os
import shutil
import sys
import sysconfig
import tempfile
import unittest
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from queue_manager import Client, connect
from queue_manager.client.executor import QueueExecutor
from queue_manager.client.executor.future import QueueFuture
from tests.integration.processes import KEY, Master

pytestmark = pytest.mark.timeout(300)

_OWN = "the program in it makes an executor of concurrent.futures by name; test_executor has it"
LEFT_OUT = {
    "test_max_workers_negative": "an executor of ours has no max_workers: the workers are there",
    "test_free_reference": "it returns an object of a class of its own; results are plain data",
    "test_interpreter_shutdown": _OWN,
    "test_submit_after_interpreter_shutdown": _OWN,
    "test_hang_gh83386": _OWN,
}
MIXINS = {
    "ExecutorTest": "executor",
    "ExecutorShutdownTest": "test_shutdown",
    "WaitTests": "test_wait",
    "AsCompletedTests": "test_as_completed",
    "FutureTests": "test_future",
}
"""The classes, and the modules that have them where the tests are a package (Python 3.12 on)."""

_NAME = "test_concurrent_futures"
_HINT = "install Debian's libpython3-testsuite, or a Python with its tests"


def _found() -> Path | None:
    """The file or the folder of CPython's tests, for this version of Python."""
    version = "{}.{}".format(*sys.version_info)
    for stdlib in (sysconfig.get_path("stdlib"), f"/usr/lib/python{version}"):
        for name in (_NAME, f"{_NAME}.py"):
            path = Path(stdlib) / "test" / name
            if path.exists() and (path.is_file() or (path / "__init__.py").exists()):
                return path
    return None


def _copied(found: Path) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="quartermaster-cpython-"))
    if found.is_dir():
        shutil.copytree(found, folder / _NAME, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(found, folder / f"{_NAME}.py")
    return folder


class Nobody:
    """Stands for the calls of futures that tests make themselves."""

    def withdraw(self, futures: list[QueueFuture]) -> list[Any]:
        for future in futures:
            concurrent.futures.Future.cancel(future)  # as an executor that tells waiters later
        return []


class Future(QueueFuture):
    """A future of ours that belongs to no run. Its name is in its repr."""

    def __init__(self) -> None:
        super().__init__(Nobody())  # type: ignore[arg-type]


class Ours:
    """In the place of an executor's class."""

    client: Client
    __name__ = "QueueExecutor"

    def __call__(self, max_workers: int = 0) -> QueueExecutor:
        return self.client.executor()


OURS = Ours()


class OursMixin:
    """As `ThreadPoolMixin` is for the threads."""

    worker_count = 5
    executor_type = OURS
    executor: QueueExecutor

    def setUp(self) -> None:
        super().setUp()  # type: ignore[misc]
        self.executor = OURS()

    def tearDown(self) -> None:
        self.executor.shutdown(wait=True)
        del self.executor
        super().tearDown()  # type: ignore[misc]


class LogMixin:
    """Takes pytest's handlers away: these tests read what logging itself writes to stderr."""

    def setUp(self) -> None:
        super().setUp()  # type: ignore[misc]
        root = logging.getLogger()
        self._handlers, root.handlers = root.handlers, []

    def tearDown(self) -> None:
        logging.getLogger().handlers = self._handlers
        super().tearDown()  # type: ignore[misc]


@pytest.fixture(scope="module", autouse=True)
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A master and a worker with as many slots as the tests expect."""
    started: list[Any] = []
    master = Master(tmp_path_factory.mktemp("service"), started)
    master.worker(WORKER_SLOTS=str(OursMixin.worker_count))
    for name, why in LEFT_OUT.items():
        print(f"left out: {name}: {why}")
    try:
        with connect(f"127.0.0.1:{master.port}", authkey=KEY) as client:
            OURS.client = client
            yield
    finally:
        for process in reversed(started):
            process.end()
        shutil.rmtree(_folder)
        sys.path.remove(str(_folder))


def _module(name: str, is_package: bool) -> ModuleType:
    module = importlib.import_module(f"{_NAME}.{name}" if is_package else _NAME)
    for one in (module, sys.modules.get(f"{_NAME}.util")):
        if one is not None and hasattr(one, "Future"):
            one.Future = Future  # type: ignore[attr-defined]
    return module


def _cases(is_package: bool) -> Iterator[type[unittest.TestCase]]:
    base = _module("util", is_package).BaseTestCase
    for name, where in MIXINS.items():
        tests = getattr(_module(where, is_package), name)
        bases = (LogMixin, tests) if issubclass(tests, base) else (tests, OursMixin, base)
        here = {one: why for one, why in LEFT_OUT.items() if hasattr(tests, one)}
        hidden = {one: unittest.skip(why)(_nothing) for one, why in here.items()}
        yield type(f"Ours{name}", bases, {"__module__": __name__, **hidden})


def _nothing(self: Any) -> None:
    """A test that is left out."""


_tests = _found()
if _tests is None:
    if os.environ.get("CI"):
        raise RuntimeError(f"this Python has no {_NAME}: {_HINT}")
    pytest.skip(f"this Python has no {_NAME}: {_HINT}", allow_module_level=True)
_folder = _copied(_tests)
sys.path.insert(0, str(_folder))
for _case in _cases(_tests.is_dir()):
    globals()[_case.__name__] = _case
del _case
