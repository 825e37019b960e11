"""`connect` and `connect_async`: what a program imports.

This module loads nothing. A program that only may use the queue waits for asyncio and ssl when it
connects, not when it starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .asynchronous import AsyncClient
    from .synchronous import Client


def connect(
    address: str | None = None, *, authkey: str | bytes | None = None, timeout: float = 10.0
) -> Client:
    """Connect to the master.

    Args:
        address: HOST:PORT. By default QUEUE_HOST and QUEUE_PORT, as for the commands.
        authkey: the master's key. By default that of QUEUE_AUTHKEY or QUEUE_AUTHKEY_FILE.
        timeout: how many seconds to wait for the master.

    Raises:
        UnreachableError: also a TimeoutError. The line says where it looked.
        WrongKeyError: the master has another key.
        TlsError: one side demands encryption, and the other can't or won't.
        ProtocolError: the master is older than this program.
        SettingsError: also a ValueError. A variable or an argument has a wrong value, or there is
            no key.
    """
    from .connection.where import limit_of, settings_for
    from .synchronous import Client

    settings, key = settings_for(address, authkey)
    return Client(settings, key, limit_of(timeout), address is not None)


async def connect_async(
    address: str | None = None, *, authkey: str | bytes | None = None, timeout: float = 10.0
) -> AsyncClient:
    """As `connect`, for a program with a loop."""
    from .asynchronous import AsyncClient
    from .connection.where import limit_of, settings_for

    settings, key = settings_for(address, authkey)
    client = AsyncClient()
    await client.open(settings, key, limit_of(timeout), address is not None)
    return client
