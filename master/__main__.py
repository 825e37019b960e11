"""`python -m master ...`, which `qm ...` is short for.

The worker of `qm run` is started before this process loads anything else: it has as much to load.
"""

from __future__ import annotations

import gc
import os
import signal
import sys


def main() -> None:
    """Run one command and exit with its code. Ctrl-C ends it with 130, also while it is loaded."""
    # Else it is ignored, such as by a shell that has started this in the background.
    interrupts = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interrupts:
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # nothing has begun yet
    gc.disable()  # the modules to load stay: looking for garbage among them takes a tenth of it
    from .processes.local_worker import LocalWorker

    worker = LocalWorker.start() if sys.argv[1:2] == ["run"] else None
    from .cli.main import main as run_command

    try:
        if interrupts:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        run_command(worker)
    except KeyboardInterrupt:  # before the command could take it
        sys.exit(130)
    finally:
        gc.freeze()  # looking for garbage once more would be the longest part of the end


if __name__ == "__main__":
    main()
