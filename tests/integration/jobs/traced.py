"""Tasks of given lengths that write down when they start and end; collect() writes, too."""

import time

from steps import step


def tasks(log: str, lengths: str = "1", collected: bool = False):
    for n, length in enumerate(lengths.split(",")):
        yield [n, float(length), log, collected]


def work(task):
    n, length_s, log, _ = task
    step(log, "S", n)
    time.sleep(length_s)
    step(log, "E", n)
    return n * n


def collect(task, result):
    if task[3]:
        step(task[2], "C", task[0])
        time.sleep(0.005)
