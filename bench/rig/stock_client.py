"""`python -m bench.rig.stock_client PORT COUNT`: a client with nothing but the standard library.

It says `ready`, and then does what each line on its standard input says: `put` puts COUNT tasks one
by one, `get` gets COUNT results one by one. It says `done` after each line.
"""

from __future__ import annotations

import sys

from .tutorial import connected


def main(port: int, count: int) -> None:
    """Do what standard input says until it ends."""
    manager = connected(port)
    tasks, results = manager.get_task_queue(), manager.get_result_queue()
    print("ready", flush=True)
    for line in sys.stdin:
        for number in range(count):
            if line.strip() == "put":
                tasks.put(number)
            else:
                results.get()
        print("done", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
