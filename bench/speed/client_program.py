"""The program that the benchmark `client` measures: it prints its figures as one line of JSON.

`python -m bench.speed.client_program COUNT`; the master and the key are in its environment.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

from queue_manager import connect


def main(count: int) -> None:
    with connect() as qm:
        list(qm.map(lambda n: n + 1, range(1_000)))  # the slots have started then
        began = time.monotonic()
        results = qm.map(lambda n: n * n, range(count))
        first = next(results)
        first_s = time.monotonic() - began
        cpu_s = time.process_time()
        right = first == 0 and all(result == n * n for n, result in enumerate(results, 1))
        took_s = time.monotonic() - began
        cpu_s = time.process_time() - cpu_s
    if not right:
        raise RuntimeError("a result is not the square of its input")
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    figures = {
        "rate": count / took_s,
        "first_s": first_s,
        "cpu_us": 1e6 * cpu_s / count,
        "peak_mb": int(peak[1]) / 1000 if peak else 0.0,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(int(sys.argv[1]))
