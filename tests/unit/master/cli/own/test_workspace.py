"""The folder of a command: one at a time has it, and what can't be resumed does not stay."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from master.cli.own import workspace
from master.cli.own.workspace import Workspace
from queue_manager.errors import OutputError, RefusedError


def test_one_command_at_a_time_has_it(tmp_path: Path) -> None:
    root = tmp_path / ".quartermaster"
    refused = pytest.raises(RefusedError, match="this command runs already")
    with Workspace("a", root), Workspace("b", root), refused, Workspace("a", root):
        pass
    with Workspace("a", root):
        pass
    assert (root / ".gitignore").read_text() == "*\n"
    assert root.stat().st_mode & 0o777 == 0o700


def test_what_was_noted_is_there_the_next_time_until_it_is_removed(tmp_path: Path) -> None:
    with Workspace("a", tmp_path) as workspace:
        assert workspace.noted() == {}
        workspace.note(done=True)
    with Workspace("a", tmp_path) as workspace:
        assert workspace.noted() == {"done": True}
        (workspace.folder / "data").mkdir()
        workspace.clear()
        assert [path.name for path in workspace.folder.iterdir()] == ["lock"]
        workspace.remove()
    assert not workspace.folder.exists()


def test_one_without_a_name_goes_with_its_command(tmp_path: Path) -> None:
    with Workspace("", tmp_path) as workspace:
        assert workspace.folder.is_dir()
    assert not workspace.folder.exists()


def test_one_without_a_name_that_was_killed_goes_with_the_next_command(tmp_path: Path) -> None:
    with Workspace("", tmp_path) as living:
        (tmp_path / "once-left").mkdir()
        with Workspace("a", tmp_path):
            assert not (tmp_path / "once-left").exists()
            assert living.folder.exists()


def test_a_root_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OutputError, match="can't keep anything in"),
        Workspace("a", tmp_path / "file"),
    ):
        pass


_STARTS = """
import sys
from pathlib import Path
from master.cli.own import workspace
from master.cli.own.workspace import Workspace
from queue_manager.errors import RefusedError

for start in range(60):
    with Workspace("", Path(sys.argv[1])) as workspace:
        workspace.note(start=start)
        assert workspace.noted() == {"start": start}
    try:
        with Workspace("same", Path(sys.argv[1])) as workspace:
            workspace.note(start=start)
            workspace.remove()
            workspace.remove()
    except RefusedError:
        pass
"""


def test_many_commands_begin_and_end_at_the_same_time(tmp_path: Path) -> None:
    words = [sys.executable, "-c", _STARTS, str(tmp_path)]
    commands = [subprocess.Popen(words, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [command.communicate(timeout=60)[1] for command in commands] == [""] * 4
    assert {path.name for path in tmp_path.iterdir()} == {".gitignore", "lock"}


def test_a_folder_that_another_process_has_by_now_stays(tmp_path: Path) -> None:
    root = tmp_path / ".quartermaster"
    with Workspace("a", root) as former:
        root.rename(tmp_path / "away")
        former.remove()
        with Workspace("a", root) as later:
            former.remove()
            assert later.folder.exists()


def test_a_folder_is_empty_until_a_store_is_kept_and_when_it_is_cleared(tmp_path: Path) -> None:
    with Workspace("a", tmp_path) as found:
        found.note(key="k")
        assert found.is_empty
        (found.folder / "data").mkdir()
        assert not found.is_empty
        found.clear()
        assert found.is_empty


def test_a_command_that_dies_while_it_clears_its_folder_leaves_no_half_of_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(path: Path) -> None:
        raise SystemExit

    with Workspace("a", tmp_path) as found:
        found.note(key="k")
        (found.folder / "data").mkdir()
        (found.folder / "data" / "store").touch()
        with monkeypatch.context() as dying:
            dying.setattr(workspace, "_remove", dies)
            with pytest.raises(SystemExit):
                found.clear()
        assert not (found.folder / "data").exists()
        assert found.noted() == {"key": "k"}  # the next command knows that it was to be cleared
        found.clear()
        assert [path.name for path in found.folder.iterdir()] == ["lock"]
