"""The `docker` command, for benchmarks that run in containers."""

from __future__ import annotations

import subprocess

from . import processes

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
