"""`python -m master ...`, which `qm ...` is short for.

The worker of `qm run` is started before this process loads anything else: it has as much to load.
"""

from __future__ import annotations

import gc
import sys

from .processes.local_worker import LocalWorker


def main() -> None:
    """Run one command and exit with its code."""
    gc.disable()  # the modules to load stay: looking for garbage among them takes a tenth of it
    worker = LocalWorker.start() if sys.argv[1:2] == ["run"] else None
    from .cli.main import main as run_command

    try:
        run_command(worker)
    finally:
        gc.freeze()  # looking for garbage once more would be the longest part of the end


if __name__ == "__main__":
    main()
