"""HyperQueue's Python API: `LocalCluster` with two workers of one core; a process a task.

Its package on the registry has no `hq` program, so server and workers are threads of the program
that submits, as `LocalCluster` has them. A job of many `function`s is its bulk call. It has no
results of functions, so `work.kept` writes files. One by one is a job a task.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig
from hyperqueue.task.function import PythonEnv

from bench.peers.work import kept

FOLDER = Path(os.environ["PEER_FOLDER"])


class Client:
    def __init__(self) -> None:
        self._cluster = LocalCluster(str(FOLDER / "hq"))
        for _ in range(2):
            self._cluster.start_worker(WorkerConfig(cores=1))
        self._client = self._cluster.client(python_env=PythonEnv(python_bin=sys.executable))
        self._submitted = 0

    def one_by_one(self, work: str, payloads: list[Any]) -> list[Any]:
        return [handle for payload in payloads for handle in self.in_bulk(work, [payload])]

    def in_bulk(self, work: str, payloads: list[Any]) -> list[Any]:
        job = Job(max_fails=None)
        paths = []
        for payload in payloads:
            self._submitted += 1
            paths.append(FOLDER / f"result-{self._submitted}")
            job.function(kept, args=(work, payload, str(paths[-1])), stdout=None, stderr=None)
        submitted = self._client.submit(job)
        return [(submitted, path) for path in paths]

    def collect(self, handles: list[Any]) -> list[Any]:
        jobs = {submitted.id: submitted for submitted, _ in handles}
        self._client.wait_for_jobs(list(jobs.values()))
        return [json.loads(path.read_text()) for _, path in handles]

    def peek(self, handle: Any) -> Any:
        path = handle[1]
        return json.loads(path.read_text()) if path.exists() else None

    def close(self) -> None:
        self._cluster.stop()
