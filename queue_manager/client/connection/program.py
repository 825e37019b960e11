"""Says to the master which program this is, so that it is known again in a new session.

Host and process number do not say it: containers on two hosts may have the same of both.
"""

from __future__ import annotations

import os
import secrets
import socket

from ... import __version__
from ...wire.messages import LEVEL, Hello

_ID_BYTES = 16
_id = secrets.token_hex(_ID_BYTES)


def _forked() -> None:
    global _id
    _id = secrets.token_hex(_ID_BYTES)  # the child has sessions and inputs of its own


os.register_at_fork(after_in_child=_forked)


def client_hello() -> Hello:
    """The first message of each session of this process."""
    return Hello(
        "client",
        socket.gethostname(),
        os.getpid(),
        version=__version__,
        level=LEVEL,
        program=_id,
    )
