"""HyperQueue as a runner of commands: a job of many `program`s, each the shell that `xargs` runs.

The same cluster as in `hyperqueue`. Each command's output is a file, as HyperQueue's default is.
"""

from __future__ import annotations

from typing import Any

from hyperqueue import Job

from bench.peers.alone import hyperqueue
from bench.peers.alone.xargs import SCRIPTS


class Client(hyperqueue.Client):
    def in_bulk(self, work: str, payloads: list[Any]) -> list[Any]:
        job = Job(max_fails=None)
        paths = []
        for n in payloads:
            self._submitted += 1
            paths.append(hyperqueue.FOLDER / f"output-{self._submitted}")
            job.program(["sh", "-c", SCRIPTS[work], str(n)], stdout=paths[-1], stderr=None)
        submitted = self._client.submit(job)
        return [(submitted, path) for path in paths]

    def collect(self, handles: list[Any]) -> list[Any]:
        jobs = {submitted.id: submitted for submitted, _ in handles}
        self._client.wait_for_jobs(list(jobs.values()))
        return [int(path.read_text().split()[1]) for _, path in handles]
