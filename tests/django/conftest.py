"""A master, a worker in a Django project, and that project in this process.

`make test-django` runs these tests, in an environment with Django. Elsewhere nobody imports them.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.processes import KEY, REPO, Master

HERE = Path(__file__).resolve().parent
DJANGOS_TESTS = Path(sys.prefix)
PATHS = [str(REPO), str(HERE / "project"), str(DJANGOS_TESTS)]
SETTINGS = {
    "DJANGO_SETTINGS_MODULE": "site_settings",
    "SITE_KEY_FILE": str(Path(tempfile.mkdtemp(prefix="site-"), "key")),
}

if importlib.util.find_spec("django") is None:
    collect_ignore_glob = ["test_*.py"]
else:  # the modules of tests import tasks, which need the settings
    import django
    from django.test.utils import setup_test_environment

    sys.path[:0] = [path for path in PATHS if path not in sys.path]
    os.environ.update(SETTINGS)
    django.setup()
    setup_test_environment()

AGAIN = """
from queue_manager import Options
from queue_manager.django.job import setup, work
OPTIONS = Options(attempts=3)
"""


class Site:
    """The project, its master and its workers."""

    def __init__(self, folder: Path, started: list[Any]) -> None:
        self.started = started
        self.master = Master(folder, started, PYTHONPATH=":".join(PATHS))
        (self.master.jobs / "django_tasks.py").write_text(
            (REPO / "jobs" / "django_tasks.py").read_text()
        )
        (self.master.jobs / "django_again.py").write_text(AGAIN)
        self.environment = {
            "QUEUE_PORT": str(self.master.port),
            "QUEUE_AUTHKEY": KEY,
            **SETTINGS,
        }
        Path(SETTINGS["SITE_KEY_FILE"]).write_text(KEY)
        key_file = {"QUEUE_AUTHKEY": "", "QUEUE_AUTHKEY_FILE": SETTINGS["SITE_KEY_FILE"]}
        self.worker_settings = {**key_file, **SETTINGS}

    def worker(self, **settings: str) -> Any:
        """A worker in the project."""
        return self.master.worker(**self.worker_settings, **settings)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The site that the tests share, with a worker of two slots. This process is its web server."""
    started: list[Any] = []
    try:
        site = Site(tmp_path_factory.mktemp("site"), started)
        site.worker()
        os.environ.update(site.environment)
        yield site
    finally:
        for process in reversed(started):
            process.end()
        shutil.rmtree(Path(SETTINGS["SITE_KEY_FILE"]).parent)


@pytest.fixture(autouse=True)
def _in_the_site(site: Site) -> None:
    """Every test is in it."""


def finished(result: Any, within_s: float = 60.0) -> Any:
    """The same result, once its task has finished."""
    deadline = time.monotonic() + within_s
    while not result.is_finished:
        assert time.monotonic() < deadline, f"it has not finished: {result}"
        time.sleep(0.02)
        result.refresh()
    return result


@pytest.fixture(name="finished")
def _finished() -> Callable[[Any], Any]:
    return finished
