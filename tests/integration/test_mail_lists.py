"""A long list of recipients, and a long one of suppressed addresses, take little memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.processes import REPO, clean_environment

COUNT = 200_000
MOST_BYTES = 64 * 1024 * 1024

# What a runner does with a list, but for sending the tasks to the master.
READS = """
import sys
from pathlib import Path
from jobs.mail import tasks

recipients, out, suppressed = sys.argv[1:]
made = tasks(recipients=recipients, campaign="c", text="Hi", out=out, suppressed=suppressed)
count = sum(1 for task in made if "wrong" not in task.payload)
# Not ru_maxrss, which counts what the parent of the process had.
said = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(count, int(said["VmHWM"].split()[0]) * 1024)
"""

LINES = {
    ".csv": "user.name{n}@d{domain}.example.org,Reader {n}\n",
    ".jsonl": '{{"email": "user.name{n}@d{domain}.example.org", "name": "Reader {n}"}}\n',
}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", LINES)
def test_many_recipients_and_many_suppressed_take_little_memory(tmp_path: Path, kind: str) -> None:
    path, suppressed = tmp_path / f"list{kind}", tmp_path / "suppressed.txt"
    with path.open("w") as file:
        file.write("email,name\n" * (kind == ".csv"))
        file.writelines(LINES[kind].format(n=n, domain=n % 1000) for n in range(COUNT))
    with suppressed.open("w") as file:
        file.writelines(f"gone{n}@d{n % 1000}.example.org\n" for n in range(COUNT))
    done = subprocess.run(
        [sys.executable, "-c", READS, str(path), str(tmp_path / "out"), str(suppressed)],
        env=clean_environment({"PYTHONPATH": str(REPO)}),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    count, peak_bytes = map(int, done.stdout.split())
    print(f"{count:,} recipients: {peak_bytes / 2**20:.0f} MiB")
    assert count == COUNT
    assert peak_bytes < MOST_BYTES
