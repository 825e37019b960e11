"""Signs of life: a file for the health check, a message for the master.

This module owns how often they are given. A health file that can't be touched does not end the
worker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from queue_manager import health

log = logging.getLogger("quartermaster.worker")

BEAT_S = 5.0
PULSE_S = 1.0


async def keep_pulse(
    health_file: Path, on_pulse: Callable[[], None], on_beat: Callable[[], None]
) -> None:
    """Touch the file and call `on_pulse` each second, and `on_beat` every five; for ever."""
    since_beat_s, last_error = 0.0, ""
    while True:
        try:
            health.touch(health_file)
        except OSError as error:
            if str(error) != last_error:
                last_error = str(error)
                log.warning("can't touch HEALTH_FILE: %s", error)
        await asyncio.sleep(PULSE_S)
        on_pulse()
        since_beat_s += PULSE_S
        if since_beat_s >= BEAT_S:
            since_beat_s = 0.0
            on_beat()
