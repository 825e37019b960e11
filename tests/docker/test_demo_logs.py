"""`make demo-logs`: logs of a week, made and counted in containers, without internet."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docker.conftest import CHECKOUT

PROJECT = f"quartermaster-demo-logs-{os.getpid()}"


@pytest.mark.timeout(400)
def test_the_demo_counts_what_it_has_made_and_leaves_nothing(
    clone: Path, docker_setup: list[str], tmp_path: Path
) -> None:
    settings = {"DEMO_PROJECT": PROJECT}
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["make", "--no-print-directory", "demo-logs"], cwd=clone, env=kept | settings,
        capture_output=True, text=True, timeout=350,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"^Look at (/.*\.html)$", done.stdout.splitlines()[-1])
    assert found, done.stdout
    data = json.loads(Path(found[1]).with_name("report.json").read_text())

    words = [sys.executable, str(CHECKOUT / "deploy" / "demo" / "make_logs.py"), str(tmp_path)]
    subprocess.run(words, check=True, timeout=60)
    text = (tmp_path / "access.log").read_text()
    text += gzip.decompress((tmp_path / "access.log.1.gz").read_bytes()).decode()
    lines = text.splitlines()
    assert (data["lines"], data["unparsable"]) == (len(lines), 2)
    statuses = {row["value"]: row["requests"] for row in data["lists"]["status"]["rows"]}
    assert statuses == {
        status: sum(f'" {status} ' in line for line in lines)
        for status in ("200", "304", "404", "500")
    }
    label = f"label=com.docker.compose.project={PROJECT}"
    left = subprocess.run(
        ["docker", "ps", "--all", "--quiet", "--filter", label],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert left.stdout == ""
