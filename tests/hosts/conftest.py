"""Three Docker hosts for all tests of this folder, repaired after each test."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

import pytest

from tests.chosen import chosen
from tests.hosts.images import Images
from tests.hosts.lan import Lan
from tests.hosts.namespaces import run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = str(Path(__file__).parent)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.hosts)
            item.add_marker(pytest.mark.timeout(600))


@runtime_checkable
class Witness(Protocol):
    """A fixture that can describe what happened when a test failed."""

    def account(self) -> dict[str, str]:
        """Return texts by title; this must not raise, whatever has failed."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to the report of a failure what the witnesses say at that moment."""
    report = yield
    if report.failed:
        found = (one for one in item.funcargs.values() if isinstance(one, Witness))
        for witness in dict.fromkeys(found):  # one witness may have several names
            report.sections += witness.account().items()
    return report


@pytest.fixture(scope="session")
def lan() -> Iterator[Lan]:
    """hostA, hostB and hostC, switched on, without images."""
    if os.geteuid() and os.environ.get("CI") != "true":
        pytest.skip("only root can make hosts out of namespaces")
    with Lan() as lan:
        yield lan


@pytest.fixture(autouse=True)
def whole(lan: Lan) -> Iterator[None]:
    """After each test, switch every host on, thaw it, and connect it to the net."""
    yield
    for host in lan.hosts:
        if not host.on:
            host.start()
        host.thaw()
        host.heal()


@pytest.fixture(scope="session")
def base() -> str:
    """The name of the base image of this machine's builds; the image has python3."""
    return chosen("BASE")


@pytest.fixture(scope="session")
def base_tar(lan: Lan, base: str) -> Path:
    """The base image in a file, for `host.load`."""
    path = lan.folder / "base.tar"
    run(["docker", "save", "--output", str(path), base])
    return path


@pytest.fixture(scope="session")
def images(lan: Lan, base: str) -> Iterator[Images]:
    """The images of master and worker, for `images.load(host, ...)`."""
    images = Images(lan.folder, base)
    try:
        images.build()
        yield images
    finally:
        images.remove()
