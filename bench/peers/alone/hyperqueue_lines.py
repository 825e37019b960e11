"""`python -m bench.peers.alone.hyperqueue_lines FOLDER`: `true` for each line of standard input.

A cluster of two workers in this process, and a job of one `program` a line. Their output is not
kept, as that of `xargs` is not.
"""

from __future__ import annotations

import sys
import tempfile

from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig

from bench.rig import kernel


def main(folder: str) -> None:
    """Run all lines. Raises what HyperQueue raises if one has failed."""
    if not kernel.isolate():
        raise SystemExit("it listens on all addresses, and this process may have no own network")
    with LocalCluster(tempfile.mkdtemp(dir=folder)) as cluster:
        for _ in range(2):
            cluster.start_worker(WorkerConfig(cores=1))
        client = cluster.client()
        job = Job()
        for line in sys.stdin:
            job.program(["true", line.strip()], stdout=None, stderr=None)
        client.wait_for_jobs([client.submit(job)])


if __name__ == "__main__":
    main(sys.argv[1])
