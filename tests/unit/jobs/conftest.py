"""Fixtures of the tests of our own jobs."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import pytest

import jobs.crawl
import jobs.images
import jobs.logs
import jobs.mail
import jobs.mailing
import jobs.output
import jobs.weblog

# All of their modules. One that were imported later, by a test, could be of another folder.
for _room in (jobs.crawl, jobs.mailing, jobs.output, jobs.weblog):
    for _found in pkgutil.walk_packages(_room.__path__, f"{_room.__name__}."):
        importlib.import_module(_found.name)

_OURS = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "jobs"}


@pytest.fixture(autouse=True)
def our_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """`import jobs...` means the repository's, also after tests that loaded other folders."""
    for name, module in _OURS.items():
        monkeypatch.setitem(sys.modules, name, module)
