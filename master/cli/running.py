"""Runs what a command does, with the settings of its environment."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

from queue_manager.lifeline import hide_key
from queue_manager.settings import Settings, load_settings

from .printing import check_output


def code_of(command: Callable[[Settings], Coroutine[Any, Any, int]], *, prints: bool = True) -> int:
    """Run a command and return its exit code. prints: it tells what it did on standard output."""
    if prints:
        check_output()
    settings = load_settings()
    hide_key()
    gc.enable()
    return asyncio.run(command(settings))
