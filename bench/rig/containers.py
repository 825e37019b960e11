"""Docker's own command, for what is measured in containers."""

from __future__ import annotations

import subprocess

from . import processes

_LIMIT_S = 600.0


def docker(*words: str) -> str:
    """Run a command of Docker's. Returns its output. Raises CalledProcessError."""
    done = subprocess.run(
        ["docker", *words], check=True, stdout=subprocess.PIPE, text=True, timeout=_LIMIT_S
    )
    return done.stdout.strip()


def build(folder: str, target: str, image: str) -> None:
    """Build an image, on the base that `make engine` made ready, or makes now."""
    base = processes.ROOT / ".cache" / "base"
    if not base.exists():
        subprocess.run([str(processes.ROOT / "scripts" / "engine.sh")], check=True)
    words = ["build", "--quiet", "--target", target, "--tag", image]
    words += ["--build-arg", f"BASE={base.read_text().strip()}"]
    pip = base.with_name("pip.conf")
    if pip.exists():
        words += ["--secret", f"id=pip,src={pip}"]
    docker(*words, folder)
