"""Fixtures of all tests: factories of processes that are gone when the test ends."""

from __future__ import annotations

import contextlib
import os
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.processes import Master, Place
from tests.integration.shared import SharedMaster

if TYPE_CHECKING:
    from tests.postgres_server import PostgresServer


def pytest_configure() -> None:
    """A background job of a shell ignores Ctrl-C, and so would all that these tests start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def started() -> Iterator[list[Any]]:
    """What a test has started; each is ended by its process id."""
    processes: list[Any] = []
    yield processes
    for process in reversed(processes):
        process.end()


@pytest.fixture
def place(tmp_path: Path, started: list[Any]) -> Place:
    """A folder with jobs and settings, and no master."""
    return Place(tmp_path, started)


@pytest.fixture
def start_master(tmp_path: Path, started: list[Any]) -> Callable[..., Master]:
    """Starts a master: `start_master(JOB="square")`; in a folder of its own with `name=`."""

    def start(name: str = "", **settings: str) -> Master:
        folder = tmp_path / name if name else tmp_path
        folder.mkdir(exist_ok=True)
        return Master(folder, started, **settings)

    return start


@pytest.fixture
def master(start_master: Callable[..., Master]) -> Master:
    """A serving master without a JOB."""
    return start_master()


@pytest.fixture(scope="session")
def standing() -> Iterator[dict[bool, SharedMaster]]:
    """The masters that tests share, with and without a worker, each from its first test on."""
    masters: dict[bool, SharedMaster] = {}
    yield masters
    for master in masters.values():
        master.end()


@pytest.fixture
def share_master(
    standing: dict[bool, SharedMaster], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[bool], SharedMaster]]:
    """`share_master(with_worker)`: a master as new, except for its log and its runs' numbers.

    Where a test has broken it, the next test gets another.
    """
    used: set[bool] = set()

    def share(with_worker: bool) -> SharedMaster:
        if with_worker not in standing:
            folder = tmp_path_factory.mktemp("shared")
            standing[with_worker] = SharedMaster(folder, with_worker=with_worker)
        used.add(with_worker)
        return standing[with_worker]

    yield share
    for with_worker in used:
        try:
            standing[with_worker].clean()
        except BaseException:
            standing.pop(with_worker).end()
            raise


@pytest.fixture
def shared_master(share_master: Callable[[bool], SharedMaster]) -> SharedMaster:
    """A serving master with a worker of two slots, which tests share; see `share_master`."""
    return share_master(True)


@pytest.fixture
def lone_master(share_master: Callable[[bool], SharedMaster]) -> SharedMaster:
    """A serving master without a worker, which tests share; see `share_master`."""
    return share_master(False)


@contextlib.contextmanager
def _postgres() -> Iterator[PostgresServer]:
    """A server of PostgreSQL. Without one the test is skipped; with CI=true it fails."""
    from tests.postgres_server import MissingServerError, running_server  # not all have psycopg

    try:
        with running_server() as server:
            yield server
    except MissingServerError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{error}; CI=true lets no test be left out")
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server of PostgreSQL that tests share: each in a schema of its own, and none stops it."""
    with _postgres() as server:
        yield server


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server of PostgreSQL that a test may stop and kill."""
    with _postgres() as server:
        yield server


@pytest.fixture
def schema(postgres: PostgresServer) -> Iterator[str]:
    """The name of a schema on the shared server, gone after the test with all that is in it."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield name
    postgres.drop(name)


@pytest.fixture
def store_url(postgres: PostgresServer, schema: str) -> str:
    """The URL of that schema, as MASTER_STORE takes it."""
    return postgres.dsn(schema)


@pytest.fixture(scope="session")
def kept_store_url(postgres: PostgresServer) -> Iterator[str]:
    """The URL of a schema that tests use one after the other: each leaves it empty."""
    name = f"kept_{uuid.uuid4().hex[:12]}"
    yield postgres.socket_dsn(name)
    postgres.drop(name)
