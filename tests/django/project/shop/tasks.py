"""Tasks of the project of these tests."""

import time
from pathlib import Path

from django.tasks import task

from queue_manager import Retry


@task
def add(a, b=0):
    return a + b


@task
def fail(text):
    raise ValueError(text)


@task(queue_name="mail")
def mail(n):
    return n


@task
def wait_for(path):
    Path(path + ".on").touch()
    while not Path(path).exists():
        time.sleep(0.01)
    return path


@task
def die():
    import os

    os._exit(7)


@task(backend="again", takes_context=True)
def third_time(context):
    if context.attempt < 3:
        raise (Retry if context.attempt == 2 else OSError)(0.05)
    return [context.attempt, context.task_result.id, len(context.task_result.worker_ids)]


@task
async def nested(n):
    result = await add.aenqueue(n, b=1)
    return result.id


def plain(n):
    return n
