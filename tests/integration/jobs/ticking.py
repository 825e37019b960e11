"""Its tasks() goes on for ever, and has a child of its own."""

import subprocess
import time


def tasks(log: str):
    child = subprocess.Popen(["sleep", "600"])
    with open(log, "w") as file:
        file.write(str(child.pid))
    while True:
        time.sleep(0.05)
        yield 1


def work(n):
    return n
