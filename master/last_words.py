"""How a runner dies: of an error of the user's code, or of one of ours, and what it says of it."""

from __future__ import annotations

import logging
import os
import sys
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from queue_manager.errors import ConnectionLostError, QueueError
from queue_manager.terminal import harmless

log = logging.getLogger("quartermaster.runner")

_OURS = str(Path(__file__).parent)


def or_die(function: Callable[..., None], *args: Any) -> None:
    """An error ends the process, in one line or with the traceback of the user's code."""
    try:
        function(*args)
    except ConnectionLostError:
        os._exit(75)
    except QueueError as error:
        log.error("%s", error)
        os._exit(1)
    except BaseException as error:
        lines = traceback.format_exception(type(error), error, below_ours(error))
        print(harmless("".join(lines)), end="", file=sys.stderr)
        sys.stdout.flush()
        os._exit(1)


def below_ours(error: BaseException) -> types.TracebackType | None:
    """The traceback from the user's first frame on; all of it when there is none."""
    trace = error.__traceback__
    while trace is not None and os.path.dirname(trace.tb_frame.f_code.co_filename) == _OURS:
        trace = trace.tb_next
    return trace or error.__traceback__
