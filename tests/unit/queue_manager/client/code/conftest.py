"""A user's folder of modules, and a process that has nothing of it, as a slot is."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from queue_manager.client.code import Packed

REPO = Path(__file__).resolve().parents[5]

_SLOT = """
import asyncio, inspect, json, sys
from pathlib import Path
from queue_manager import codec
from queue_manager.job.loading import load_job

job = load_job(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
if job.setup is not None:
    job.setup()
results = []
for payload in codec.decode_batch(bytes.fromhex(sys.argv[4])):
    result = job.work(payload)
    results.append(asyncio.run(result) if inspect.isawaitable(result) else result)
print(json.dumps([results, job.options.concurrency, job.options.memory_bytes]))
"""

Run = Callable[..., list[Any]]
Module = Callable[..., ModuleType]


@pytest.fixture(autouse=True)
def _each_test(same_modules_afterwards: None) -> None:
    """No test of this room leaves modules behind."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The folder of the user's modules, from which this process imports."""
    folder = tmp_path / "project"
    folder.mkdir()
    sys.path.insert(0, str(folder))
    return folder


@pytest.fixture
def module(project: Path) -> Module:
    """Writes a module of the user, and imports it. name: with dots for what is in a package."""

    def make(name: str, source: str = "", *, imported: bool = True) -> ModuleType | None:
        path = project / Path(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
        top = name.partition(".")[0]
        for known in [one for one in sys.modules if one.partition(".")[0] == top]:
            if not str(getattr(sys.modules[known], "__file__", "")).startswith(str(project)):
                del sys.modules[known]  # a package of ours with that name
        importlib.invalidate_caches()
        return importlib.import_module(name) if imported else None

    return make  # type: ignore[return-value]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs payloads in a fresh process that has the files alone. Returns what came of them.

    It raises CalledProcessError with the error's text if that fails.
    """

    def in_a_slot(packed: Packed, *payloads: Any, whole: bool = False) -> list[Any]:
        from queue_manager import codec

        folder = tmp_path / "slot" / packed.version / "jobs"
        for name, data in packed.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        body = codec.encode_batch(list(payloads)).hex()
        words = [sys.executable, "-c", _SLOT, packed.job, str(folder), packed.version, body]
        environment = {"PYTHONPATH": str(REPO), "PYTHONDONTWRITEBYTECODE": "1"}
        ended = subprocess.run(
            words,
            cwd=tmp_path / "slot",
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode == 0, ended.stderr
        answer: list[Any] = json.loads(ended.stdout)
        return answer if whole else answer[0]

    return in_a_slot
