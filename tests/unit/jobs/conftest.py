"""Fixtures of the tests of our own jobs."""

from __future__ import annotations

import sys

import pytest

import jobs.crawl.keep.indexing
import jobs.crawl.keep.sheet
import jobs.images
import jobs.logs
import jobs.weblog.show.report
import jobs.weblog.work  # noqa: F401 - likewise

_OURS = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "jobs"}


@pytest.fixture(autouse=True)
def our_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """`import jobs...` means the repository's, also after tests that loaded other folders."""
    for name, module in _OURS.items():
        monkeypatch.setitem(sys.modules, name, module)
