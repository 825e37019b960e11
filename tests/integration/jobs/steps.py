"""What the jobs of test_promises write down: `EVENT item pid parent monotonic`. Not a job."""

import os
import time


def step(log, event, item):
    """One line at the end of a file; one short write is never mixed with another."""
    line = f"{event} {item} {os.getpid()} {os.getppid()} {time.monotonic():.6f}\n"
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)
