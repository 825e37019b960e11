"""Durable throughput with everything encrypted, beside the same in clear.

It needs pre-shared keys, which Python has from 3.13 on. Where this one lacks them it measures on
the master's image: both sides of the comparison, in one container.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator

from queue_manager.wire import tls

from ..brief import BRIEF, sized
from ..figure import Figure, ratio
from ..rig import processes, run
from ..rig.containers import build, docker

ROUNDS = sized(5, 1)
TASKS = sized(1_000_000, 100_000)
WARM_UP_TASKS = 2_000
LEAST = 0.8
IMAGE = "quartermaster-bench"


def measure() -> list[Figure]:
    """Rounds of both, in turn. Raises RuntimeError where no Python with keys can be had."""
    if not tls.has_psk():
        return _in_container()
    clear, encrypted = [], []
    for _ in range(ROUNDS):
        clear.append(_rate("off"))
        encrypted.append(_rate("required"))
    rates = [
        Figure("in clear", "tasks/s", tuple(clear)),
        Figure("TLS 1.3: worker, runner, client", "tasks/s", tuple(encrypted)),
    ]
    return [*rates, ratio("encrypted / in clear", rates[1], rates[0], least=LEAST)]


def _rate(mode: tls.Mode) -> float:
    with (
        _all(mode),
        processes.scratch() as folder,
        processes.master(folder) as (_, port),
        processes.worker(folder, port),
    ):
        run.measure(port, WARM_UP_TASKS, folder)
        return run.measure(port, TASKS, folder).rate


@contextlib.contextmanager
def _all(mode: tls.Mode) -> Iterator[None]:
    """Every process, and this one as a client."""
    before, processes.tls_mode = processes.tls_mode, mode
    try:
        yield
    finally:
        processes.tls_mode = before


def _in_container() -> list[Figure]:
    """The same measurement on the image's Python; its figures as they were written down."""
    if shutil.which("docker") is None:
        raise RuntimeError(f"{tls.lacking()}; or `make engine`, and it is measured in a container")
    build(str(processes.ROOT), "master", IMAGE)
    with processes.scratch() as folder:
        there = "/src/.cache/bench"
        words = ["run", "--rm", "--init", "--network", "none", "--user", "0:0"]
        words += ["--volume", f"{processes.ROOT}:/src:ro", "--volume", f"{folder}:{there}"]
        words += ["--env", "PYTHONPATH=/src", "--env", f"BENCH_BRIEF={int(BRIEF)}"]
        words += ["--workdir", "/src", IMAGE]
        words += ["python", "-m", "bench", "encryption"]
        docker(*words)
        found = json.loads((folder / processes.RESULTS).read_text())
    print(f"  (in a container: Python {found['machine']['Python']})")
    return [
        Figure(f["name"], f["unit"], tuple(f["rounds"]), LEAST if f["bound"] else None)
        for f in found["benchmarks"]["encryption"]
    ]
