"""TLS 1.3 from the authkey alone. Both sides have a pre-shared key, and neither has a certificate.

This module owns when a connection is encrypted, the contexts, and what a failed handshake means.
Python has pre-shared keys from 3.13 on. Without them the functions here raise `TlsError`.
Source: RFC 8446, 4.2.11; `SSLContext.set_psk_client_callback` of CPython's `Modules/_ssl.c`.
"""

from __future__ import annotations

import hashlib
import platform
import ssl
from typing import TYPE_CHECKING, Literal

from ..errors import ConnectionLostError, QueueError, TlsError, WrongKeyError
from ..settings import Settings, is_loopback, others_reach, reached_by

if TYPE_CHECKING:
    import asyncio

Mode = Literal["auto", "required", "off"]

SERVER_NAME = "quartermaster"
_IDENTITY = "quartermaster "
CLIENT_HELLO = 0x16
"""The first byte of a TLS connection. The first byte of a client in clear is 0."""

_ALERT = b"\x15\x03\x03\x00\x02\x02"  # a fatal alert in clear: RFC 8446, 6
WRONG_KEY_ALERT = _ALERT + bytes([51])  # decrypt_error
NO_TLS_ALERT = _ALERT + bytes([49])  # access_denied

CODE_IN_CLEAR = (
    "code travels over encrypted connections or within one machine only: use Python 3.13 or later"
    " on both sides, without QUEUE_TLS=off, or bring the same jobs folder to the worker"
)

# OpenSSL's reasons for a wrong key. The first is also that of our own alert.
_WRONG_KEY = (
    "DECRYPT_ERROR",
    "ILLEGAL_PARAMETER",
    "UNKNOWN_PSK_IDENTITY",
    "BINDER_DOES_NOT_VERIFY",
)


def has_psk() -> bool:
    """Whether this Python can encrypt with a key alone."""
    return bool(getattr(ssl, "HAS_PSK", False))


def encrypts(mode: Mode, host: str, server_does: bool) -> bool:
    """Whether our client encrypts. It does so wherever it can, and always off loopback.

    Args:
        mode: the client's mode.
        host: the address that it is connected to, in numbers.
        server_does: whether the server encrypts, by its first frame. The proof in clear covers that
            frame, so nobody on the way can turn TLS off by changing it.
    """
    if mode == "auto" and is_loopback(host):
        return has_psk() and server_does
    return mode != "off"


def carries_code(encrypted: bool, transport: asyncio.BaseTransport | None) -> bool:
    """Whether code may travel on a connection: in clear only if both ends are loopback.

    Off loopback, whoever is between the two could put other code in its place. What is relayed to
    loopback, as a published port of a container, is not loopback at the other end; the master knows
    by its settings whether other machines reach that.
    """
    if encrypted or transport is None:
        return encrypted
    ends = [transport.get_extra_info(end) for end in ("sockname", "peername")]
    return all(isinstance(end, tuple) and is_loopback(str(end[0])) for end in ends)


def master_mode(settings: Settings) -> Mode:
    """The mode of a master. If other machines reach it, it demands TLS unless QUEUE_TLS is set.

    Raises:
        TlsError: the master has to demand TLS, and this Python can't encrypt.
    """
    is_set = settings.queue_tls_set
    mode: Mode = settings.queue_tls if is_set or not others_reach(settings) else "required"
    if mode == "required" and not has_psk():
        why = "QUEUE_TLS=required" if is_set else reached_by(settings)
        raise TlsError(f"{why}: {lacking()}")
    return mode


def client_mode(settings: Settings) -> Mode:
    """The mode of a worker or a command.

    Raises:
        TlsError: QUEUE_TLS=required, and this Python can't encrypt.
    """
    if settings.queue_tls == "required" and not has_psk():
        raise TlsError(f"QUEUE_TLS=required: {lacking()}")
    return settings.queue_tls


def lacking() -> str:
    """Advice for a Python without pre-shared keys."""
    return (
        f"encryption needs Python 3.13 or later, this is {platform.python_version()}: use that,"
        " or set QUEUE_TLS=off on both sides if plain traffic is fine"
    )


def client_context(psk: bytes, greeting: bytes) -> ssl.SSLContext:
    """The context of one connection of a client. Raises TlsError if this Python can't encrypt.

    greeting: the server's first frame on this connection.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    # No certificate is trusted. With CERT_NONE the client would trust a man in the middle who has
    # any certificate and no key.
    context.verify_mode = ssl.CERT_REQUIRED
    name = identity(greeting)
    context.set_psk_client_callback(lambda hint: (name, psk))
    return context


def server_context(psk: bytes) -> ssl.SSLContext:
    """The context of all connections of a server. Raises TlsError if this Python can't encrypt.

    It accepts the identity of any greeting. `client_hello.proves` has checked before that the
    ClientHello names the greeting of its own connection.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0  # without tickets each connection proves the key itself
    context.set_psk_server_callback(
        lambda offered: psk if offered and offered.startswith(_IDENTITY) else b""
    )
    return context


def identity(greeting: bytes) -> str:
    """The identity of the client's key in the ClientHello.

    It names the greeting that the ClientHello answers. So a ClientHello proves the key on one
    connection only: somebody who catches one can't show it to the server on another.
    """
    return _IDENTITY + hashlib.sha256(greeting).hexdigest()


def _context(protocol: ssl._SSLMethod) -> ssl.SSLContext:
    if not has_psk():
        raise TlsError(lacking())
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def meaning(error: Exception, where: str) -> QueueError:
    """Translate the error of a failed handshake into one of ours. where: host and port."""
    reason = str(getattr(error, "reason", "") or error or type(error).__name__)
    if any(word in reason for word in _WRONG_KEY):
        return WrongKeyError(f"wrong authkey for {where}")
    if "ACCESS_DENIED" in reason:
        return TlsError(f"{where} takes no encrypted connections: see QUEUE_TLS on its side")
    if "CERTIFICATE" in reason:
        return WrongKeyError(f"{where} shows a certificate and does not know the authkey")
    return ConnectionLostError(f"the TLS handshake with {where} failed: {reason}")
