"""What a worker of a command's own prints, on the command's standard error."""

from __future__ import annotations

import contextlib
import os
import sys


def pass_on(line: bytes) -> None:
    """Pass on to standard error what a task or the worker has printed, above a progress bar."""
    with contextlib.ExitStack() as stack:
        if os.isatty(2):
            from tqdm import tqdm

            stack.enter_context(tqdm.external_write_mode(file=sys.stderr))
        with contextlib.suppress(OSError):  # nobody reads it any more
            os.write(2, line)
