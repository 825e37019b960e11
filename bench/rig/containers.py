"""The `docker` command, for benchmarks that run in containers, and workers in containers."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from . import processes

WORKER_IMAGE = "quartermaster-bench-worker"

_LIMIT_S = 600.0


def docker(*args: str) -> str:
    """Run `docker` with these arguments. Returns its output. Raises CalledProcessError."""
    done = subprocess.run(
        ["docker", *args], check=True, stdout=subprocess.PIPE, text=True, timeout=_LIMIT_S
    )
    return done.stdout.strip()


def build(folder: str, target: str, image: str) -> None:
    """Build an image on the base image of `make engine`, which is made now if it is missing."""
    base = processes.ROOT / ".cache" / "base"
    if not base.exists():
        subprocess.run([str(processes.ROOT / "scripts" / "engine.sh")], check=True)
    args = ["build", "--quiet", "--target", target, "--tag", image]
    args += ["--build-arg", f"BASE={base.read_text().strip()}"]
    pip = base.with_name("pip.conf")
    if pip.exists():
        args += ["--secret", f"id=pip,src={pip}"]
    docker(*args, folder)


def build_worker() -> None:
    """Build the image of `worker`."""
    build(str(processes.ROOT), "worker", WORKER_IMAGE)


@contextlib.contextmanager
def worker(port: int, folder: Path, processors: float) -> Iterator[None]:
    """A worker with one slot and a part of a processor, on this machine's own network.

    Args:
        port: of a master on this machine.
        folder: it is there for the worker, too, by the same path.
        processors: how much it may use, such as 0.5.
    """
    settings = {"QUEUE_HOST": "127.0.0.1", "QUEUE_PORT": str(port), "WORKER_SLOTS": "1"}
    settings |= {"QUEUE_AUTHKEY": processes.AUTHKEY.decode(), "QUEUE_TLS": processes.tls_mode}
    words = ["run", "--detach", "--rm", "--init", "--network", "host", "--cpus", str(processors)]
    words += ["--user", "0:0", "--volume", f"{folder}:{folder}"]
    for name, value in settings.items():
        words += ["--env", f"{name}={value}"]
    container = docker(*words, WORKER_IMAGE)
    try:
        yield
    finally:
        docker("rm", "--force", container)
