"""The user's own files in the place of the copies that workers have."""

from __future__ import annotations

from pathlib import Path

import pytest

from master.cli.mapping.places import Places

COPIES = f"/tmp/quartermaster-code-a1_b/{'0' * 64}/jobs"


def test_a_copy_is_named_by_the_file_that_it_is_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, lib = tmp_path / "mine", tmp_path / "lib"
    for path in (mine / "work.py", lib / "pack" / "log.py"):
        path.parent.mkdir(parents=True)
        path.write_text("")
    monkeypatch.syspath_prepend(str(lib))
    places = Places(mine)
    text = 'File "{}/work.py", line 2\nFile "{}/pack/log.py", line 3\n'
    assert places.in_text(text.format(COPIES, COPIES)) == text.format(mine, lib)


def test_what_is_no_copy_stays_as_it_is(tmp_path: Path) -> None:
    places = Places(tmp_path)
    (tmp_path / "work.py").write_text("")
    lines = [
        f'File "{COPIES}/absent.py", line 1',
        'File "/tmp/quartermaster-code-a1/jobs/work.py", line 1',
        "about quartermaster-code-1",
    ]
    for line in lines:
        assert places.in_text(line) == line
    assert places.in_line(b"\xff quartermaster-code-\n") == b"\xff quartermaster-code-\n"
