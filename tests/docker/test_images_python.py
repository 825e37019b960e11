"""The tests of encryption run on the images' Python, which has TLS with pre-shared keys."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import CHECKOUT

TESTED = [
    "tests/unit/queue_manager/wire/test_tls.py",
    "tests/unit/queue_manager/wire/test_transport.py",
    "tests/integration/test_tls.py",
    "tests/integration/test_code_travels.py",
    "tests/integration/test_impostors.py",
    "tests/integration/test_strangers.py",
]


PACKAGES = ["pytest", "pytest-timeout", "pytest-xdist", "hypothesis"]
OURS = ["queue_manager", "master", "worker"]
SHOWN_SITE = "import sysconfig; print(sysconfig.get_path('purelib'))"


@pytest.fixture
def base(docker_setup: list[str]) -> str:
    """The base image. docker_setup chooses it."""
    return os.environ.get("BASE", "python:3.13-slim-trixie")


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder with the locked packages that these tests need, for the images' Python."""
    with (CHECKOUT / "requirements.lock").open() as lock:
        needed = [line.split("==")[0] for line in lock if "==" in line and ";" not in line]
    folder = tmp_path / "packages"
    uv = (
        '. scripts/uv-settings.sh; use_pip_settings "$0"; exec "${0%/*}/uv" pip install --quiet '
        '--python-version 3.13 --only-binary :all: --constraint requirements-dev.lock --target "$@"'
    )
    subprocess.run(
        ["bash", "-c", uv, sys.executable, str(folder), *needed, *PACKAGES],
        cwd=CHECKOUT, check=True, timeout=200,
    )  # fmt: skip
    return folder


@pytest.mark.timeout(600)  # a busy machine takes five minutes
def test_encryption_is_tested_on_the_images_python(clone: Path, base: str, packages: Path) -> None:
    """No test may be skipped here: it would run nowhere else."""
    run = ["docker", "run", "--rm", "--init", "--workdir", "/src", "--tmpfs", "/tmp:exec"]
    asked = [*run, base, "python", "-c", SHOWN_SITE]
    site = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    volumes = [f"--volume={clone}:/src", f"--volume={packages}:{site}"]
    # Slots keep no bytecode: without this each would compile all that it imports.
    compiled = f"python -m compileall -q -j 2 {' '.join(OURS)} {site}"
    tests = f"python -m pytest -q -p no:cacheprovider -n 4 --dist worksteal {' '.join(TESTED)}"
    done = subprocess.run(
        [*run, *volumes, base, "sh", "-c", f"{compiled}; exec {tests}"],
        capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5_000:] + done.stderr[-2_000:]
    assert re.search(r"^\d+ passed in", done.stdout, re.MULTILINE), done.stdout[-500:]
