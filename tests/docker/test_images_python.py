"""The tests of encryption run on the images' Python, which has TLS with pre-shared keys."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
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


@pytest.fixture
def image(tmp_path: Path, docker_setup: list[str]) -> Iterator[str]:
    """The base image with the packages that tests need."""
    shutil.copy(CHECKOUT / "requirements-dev.lock", tmp_path)
    name = f"quartermaster-test-python-{os.getpid()}"
    base = os.environ.get("BASE", "python:3.13-slim-trixie")
    dockerfile = (
        f"FROM {base}\nCOPY requirements-dev.lock .\n"
        "RUN --mount=type=secret,id=pip,target=/etc/pip.conf"
        " python -m venv /venv && /venv/bin/pip install --quiet -r requirements-dev.lock\n"
    )
    settings = os.environ.get("PIP_CONFIG_FILE")
    secret = ["--secret", f"id=pip,src={settings}"] if settings else []
    subprocess.run(
        ["docker", "build", "--quiet", *secret, "--tag", name, "--file", "-", str(tmp_path)],
        input=dockerfile, text=True, check=True, capture_output=True, timeout=280,
    )  # fmt: skip
    yield name
    subprocess.run(["docker", "rmi", name], check=False, capture_output=True)


def test_encryption_is_tested_on_the_images_python(clone: Path, image: str) -> None:
    """No test may be skipped here: it would run nowhere else."""
    done = subprocess.run(
        ["docker", "run", "--rm", "--init", "--volume", f"{clone}:/src:ro", "--workdir", "/src",
         "--tmpfs", "/tmp:exec", image,
         "/venv/bin/python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTED],
        capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5_000:] + done.stderr[-2_000:]
    assert re.search(r"^\d+ passed in", done.stdout, re.MULTILINE), done.stdout[-500:]
