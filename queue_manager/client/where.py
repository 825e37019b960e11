"""Where a program finds the master and the key: as the commands do, or as it says."""

from __future__ import annotations

import msgspec

from ..authkey import find_authkey
from ..errors import SettingsError
from ..settings import Settings, load_settings


def settings_for(address: str | None, authkey: str | bytes | None) -> tuple[Settings, bytes]:
    """The settings and the key of a connection.

    address: HOST:PORT, HOST, or None for QUEUE_HOST and QUEUE_PORT.

    Raises:
        SettingsError: the address is none, or there is no key.
    """
    settings = load_settings()
    if address is not None:
        host, port = _split(address, settings.queue_port)
        settings = msgspec.structs.replace(settings, queue_host=host, queue_port=port)
    if authkey is None:
        return settings, find_authkey(settings)
    return settings, authkey if isinstance(authkey, bytes) else authkey.encode()


def _split(address: str, port: int) -> tuple[str, int]:
    """The host and the port in an address. An IPv6 address with a port is in brackets."""
    host, colon, text = address.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        host, text = address, str(port)
    try:
        number = int(text)
    except ValueError:
        number = -1
    host = host.removeprefix("[").removesuffix("]")
    if not host or not 0 < number < 2**16:
        raise SettingsError(f"{address!r} is no address: it is HOST:PORT, such as 127.0.0.1:5000")
    return host, number
