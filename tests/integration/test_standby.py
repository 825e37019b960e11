"""What clients of the standard library see of a master that stands by."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from queue_manager.server.arriving.standby import Standby
from tests.integration.stock import StockClient, stock_pythons

WORDS = "#STANDBY# this master stands by; ask the active one"
AT_ONCE_S = 5.0
"""A start of an interpreter on a busy machine, and no waiting."""


@pytest.fixture
def port() -> Iterator[int]:
    """A master that stands by, in a thread."""
    standby = Standby(("127.0.0.1", 0))
    loop = asyncio.new_event_loop()
    loop.call_soon(standby.start)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield standby.address[1]
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    standby.close()
    loop.close()


@pytest.mark.parametrize("python", [pytest.param(path, id=name) for name, path in stock_pythons()])
def test_every_stock_python_fails_at_once_with_the_words_of_a_standby(
    python: str, port: int, tmp_path: Path
) -> None:
    began = time.monotonic()
    client = StockClient(tmp_path, python, port, "a key of a test")
    try:
        with pytest.raises(Exception) as caught:  # noqa: PT011  AssertionError up to 3.11
            client.answer()
        assert WORDS in str(caught.value)
        assert time.monotonic() - began < AT_ONCE_S
    finally:
        client.end()
