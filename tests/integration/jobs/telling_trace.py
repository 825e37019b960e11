"""Says which trace it is of: by the variable, by the queue, and how often it has failed before."""

import os

from queue_manager import Task, current_task


def tasks(names="a", fail=False):
    for name in names:
        yield Task({"name": name, "fail": fail, "runner": os.environ.get("TRACEPARENT", "")})


def work(payload):
    if payload["fail"]:
        raise ValueError('a line\nthat looks like another {"level":"error"}\x1b[31m \u2028')
    return [payload["runner"], os.environ.get("TRACEPARENT", ""), current_task().traceparent]
