"""What a worker takes of its machine, as it travels: memory and processors.

The types bound what a stranger may send.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from .limits import LAST_NUMBER, MOST_PROCESSORS

_Bytes = Annotated[int, Meta(ge=0, lt=LAST_NUMBER)]
_Number = Annotated[int, Meta(ge=0, lt=LAST_NUMBER)]
_Processors = Annotated[float, Meta(ge=0, le=MOST_PROCESSORS)]


class LargestSlot(msgspec.Struct, frozen=True, array_like=True):
    """The slot of a worker that takes most memory, with what it has started.

    run, task: what it runs; None: nothing, or several tasks at a time.
    """

    memory_bytes: _Bytes
    run: _Number | None = None
    task: _Number | None = None


class Usage(msgspec.Struct, frozen=True, array_like=True):
    """What a worker takes, with its slots and all that they have started.

    memory_bytes: what each process has for itself, and once the largest part that one of them
    shares with others. memory_limit_bytes: what its control group or its machine has. processors:
    how many it has used since the look before, on average; None: this is the first look.
    processors_limit: how many it may use.
    """

    memory_bytes: _Bytes
    memory_limit_bytes: _Bytes | None = None
    processors: _Processors | None = None
    processors_limit: _Processors | None = None
    largest: LargestSlot | None = None
