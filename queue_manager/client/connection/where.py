"""Where a program finds the master and the key: as the commands do, or as it says."""

from __future__ import annotations

import msgspec

from ...addresses import parse
from ...authkey import find_authkey
from ...errors import SettingsError
from ...settings import Settings, load_settings

_FORM = "it is HOST:PORT, such as 127.0.0.1:5000, with commas between several masters"


def settings_for(address: str | None, authkey: str | bytes | None) -> tuple[Settings, bytes]:
    """The settings and the key of a connection.

    address: HOST:PORT or HOST, several with commas between them, or None for QUEUE_HOST and
        QUEUE_PORT.

    Raises:
        SettingsError: the address or the key is none, or there is no key.
    """
    settings = load_settings()
    if address is not None:
        _check(address, settings.queue_port)
        settings = msgspec.structs.replace(settings, queue_host=address)
    if authkey is None:
        return settings, find_authkey(settings)
    return settings, _key(authkey)


def limit_of(timeout: float) -> float:
    """How many seconds a connection may take. Raises SettingsError for what is no such number."""
    known = isinstance(timeout, int | float) and not isinstance(timeout, bool) and timeout >= 0
    if not known:  # `nan` is not >= 0 either
        said = f"timeout={timeout!r:.100} is no time to wait"
        raise SettingsError(f"{said}: pass a number of seconds, such as timeout=10.0")
    return timeout


def _key(authkey: str | bytes) -> bytes:
    """The bytes of a key. The errors do not print it: it may be nearly the right one."""
    if isinstance(authkey, bytes):
        return authkey
    if not isinstance(authkey, str):
        kind = type(authkey).__name__
        raise SettingsError(f"authkey= is of type {kind}: pass a str or bytes")
    try:
        return authkey.encode()
    except UnicodeEncodeError:
        raise SettingsError("authkey= has characters that no text has: pass bytes") from None


def _check(address: str, port: int) -> None:
    if not isinstance(address, str):
        raise SettingsError(f"{address!r:.100} is no address: {_FORM}")
    try:
        parse(address, port)
    except ValueError:
        raise SettingsError(f"{address!r} is no address: {_FORM}") from None
