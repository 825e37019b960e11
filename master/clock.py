"""Which boot of the machine this is: its monotonic clock begins anew with each."""

from __future__ import annotations

import uuid
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_BITS = 62  # what a store keeps as a number


def boot_number(path: Path = _BOOT_ID) -> int:
    """A number of this boot; 0 where the system does not tell.

    Source: Linux, Documentation/admin-guide/sysctl/kernel.rst, "random".
    """
    try:
        return uuid.UUID(path.read_text().strip()).int >> (128 - _BITS)
    except (OSError, ValueError):
        return 0
