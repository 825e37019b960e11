"""A peer that cannot be installed is a row that says so, in a few words."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.peers import environment, servers
from bench.peers.environment import MissingError


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(environment, "FOLDER", tmp_path / "made")
    monkeypatch.setattr(environment, "LOCKS", tmp_path)
    (tmp_path / "empty.txt").write_text("")
    return tmp_path


def test_an_environment_that_fits_its_lock_is_not_made_again(folder: Path) -> None:
    made = folder / "made" / "empty"
    made.mkdir(parents=True)
    (made / "installed").write_text("")
    assert environment.python_of("empty") == made / "bin" / "python"


def test_a_python_that_is_too_old_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment.shutil, "which", lambda name: None)
    monkeypatch.setattr(environment.Path, "home", lambda: folder)
    newer = (sys.version_info[0], sys.version_info[1] + 1)
    with pytest.raises(MissingError, match=rf"needs Python {newer[0]}\.{newer[1]}"):
        environment.python_of("empty", newer)


def test_a_program_that_is_not_there_is_said() -> None:
    with pytest.raises(MissingError, match="no no-such-server on this machine"):
        servers.check("no-such-server --port 1")


def test_a_peers_own_python_needs_no_program() -> None:
    servers.check("python -m anything")
    servers.check("")
