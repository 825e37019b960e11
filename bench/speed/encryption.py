"""Durable throughput with every connection encrypted, beside the same in clear.

Encryption needs pre-shared keys, which Python has from 3.13 on. If this Python lacks them, both
sides of the comparison are measured in one container of the master's image.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator

from queue_manager.wire import tls

from .. import results
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
    """Measure both in turn. Raises RuntimeError if no Python with pre-shared keys is at hand."""
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
    return [*rates, ratio("encrypted / in clear", rates[1], rates[0], at_least=LEAST)]


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
    """Set the mode of every process, and of this one as a client."""
    before, processes.tls_mode = processes.tls_mode, mode
    try:
        yield
    finally:
        processes.tls_mode = before


def _in_container() -> list[Figure]:
    """Measure with the image's Python, and read the figures that it has written."""
    if shutil.which("docker") is None:
        raise RuntimeError(f"{tls.lacking()}; or `make engine`, and it is measured in a container")
    build(str(processes.ROOT), "master", IMAGE)
    with processes.scratch() as folder:
        there = "/src/.cache/bench"
        args = ["run", "--rm", "--init", "--network", "none", "--user", "0:0"]
        args += ["--volume", f"{processes.ROOT}:/src:ro", "--volume", f"{folder}:{there}"]
        args += ["--env", "PYTHONPATH=/src", "--env", f"BENCH_BRIEF={int(BRIEF)}"]
        args += ["--workdir", "/src", IMAGE]
        args += ["python", "-m", "bench", "encryption"]
        docker(*args)
        report = results.load(folder / processes.RESULTS)["encryption"]
    print(f"  (in a container: Python {report['machine']['Python']})")
    return [
        Figure(f["name"], f["unit"], tuple(f["rounds"]), LEAST if f["bound"] else None)
        for f in report["figures"]
    ]
