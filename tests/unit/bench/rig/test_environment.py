"""An environment of a benchmark's own is made again when a registry has failed."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from bench.rig import environment


@pytest.mark.parametrize("failures", [0, 1, 2, 3])
def test_pip_is_asked_three_times(
    failures: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = 0

    def run(words: list[str], **_: Any) -> None:
        nonlocal asked
        if "pip" in words:
            asked += 1
            if asked <= failures:
                raise subprocess.CalledProcessError(1, words, stderr="no distribution")

    monkeypatch.setattr(subprocess, "run", run)
    lock, folder = tmp_path / "lock.txt", tmp_path / "made"
    lock.write_text("a==1\n")
    folder.mkdir()
    if failures < 3:
        assert environment.python_of(folder, lock) == folder / "bin" / "python"
        assert (folder / "installed").exists()
    else:
        with pytest.raises(subprocess.CalledProcessError):
            environment.python_of(folder, lock)
        assert not (folder / "installed").exists()
    assert asked == min(failures + 1, 3)
