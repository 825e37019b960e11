"""TLS 1.3 from the authkey alone: a pre-shared key on both sides, no certificate anywhere.

Owns when a connection is encrypted, the contexts, and what a failed handshake means. Python has
pre-shared keys from 3.13 on; without them nothing here can be made, which `TlsError` says.
Source: RFC 8446, 4.2.11; `SSLContext.set_psk_client_callback` of CPython's `Modules/_ssl.c`.
"""

from __future__ import annotations

import functools
import hashlib
import ipaddress
import platform
import ssl
from typing import Literal

from .errors import ConnectionLostError, QueueError, TlsError, WrongKeyError
from .settings import Settings, is_loopback, publish_host

Mode = Literal["auto", "required", "off"]

IDENTITY = "quartermaster"
CLIENT_HELLO = 0x16
"""The first byte of a TLS connection; a stock client's answer to the challenge begins with 0."""

_ALERT = b"\x15\x03\x03\x00\x02\x02"  # a fatal alert in clear: RFC 8446, 6
WRONG_KEY_ALERT = _ALERT + bytes([51])  # decrypt_error
NO_TLS_ALERT = _ALERT + bytes([49])  # access_denied

# One may be sent by us, the others come from OpenSSL itself.
_WRONG_KEY = (
    "DECRYPT_ERROR",
    "ILLEGAL_PARAMETER",
    "UNKNOWN_PSK_IDENTITY",
    "BINDER_DOES_NOT_VERIFY",
)


def has_psk() -> bool:
    """Whether this Python can encrypt with a key alone."""
    return bool(getattr(ssl, "HAS_PSK", False))


def encrypts(mode: Mode, host: str) -> bool:
    """Whether a client encrypts. host: the address that it is connected to, as numbers."""
    return mode == "required" or (mode == "auto" and not _is_local(host))


def _is_local(host: str) -> bool:
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def master_mode(settings: Settings) -> Mode:
    """The mode of a master: one that other machines reach by QUEUE_PUBLISH demands TLS.

    Raises:
        TlsError: it is to demand TLS, and this Python has none.
    """
    host = publish_host(settings)
    published = host is not None and not is_loopback(host)
    mode: Mode = "required" if published and not settings.queue_tls_set else settings.queue_tls
    if mode == "required" and not has_psk():
        why = "QUEUE_TLS=required" if settings.queue_tls_set else f"QUEUE_PUBLISH={host}"
        raise TlsError(f"{why}: {lacking()}")
    return mode


def client_mode(settings: Settings) -> Mode:
    """The mode of a worker or a command.

    Raises:
        TlsError: it is to encrypt whatever comes, and this Python can't.
    """
    if settings.queue_tls == "required" and not has_psk():
        raise TlsError(f"QUEUE_TLS=required: {lacking()}")
    return settings.queue_tls


def lacking() -> str:
    """What to do when this Python has no pre-shared keys."""
    return (
        f"encryption needs Python 3.13 or later, this is {platform.python_version()}: use that,"
        " or set QUEUE_TLS=off on both sides if plain traffic is fine"
    )


def client_context(authkey: bytes) -> ssl.SSLContext:
    """What a client wraps its connection with. Raises TlsError where this Python can't."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    key = _stretched(authkey)
    context.check_hostname = False
    # Nobody's certificate is trusted: with CERT_NONE a man in the middle who has any certificate,
    # and no key at all, would be believed.
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_psk_client_callback(lambda hint: (IDENTITY, key))
    return context


def server_context(authkey: bytes) -> ssl.SSLContext:
    """What the server wraps its connections with. Raises TlsError where this Python can't."""
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    key = _stretched(authkey)
    context.num_tickets = 0  # nobody resumes: a new connection proves the key anew
    context.set_psk_server_callback(lambda identity: key if identity == IDENTITY else b"")
    return context


def _context(protocol: ssl._SSLMethod) -> ssl.SSLContext:
    if not has_psk():
        raise TlsError(lacking())
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


@functools.lru_cache(maxsize=4)
def _stretched(authkey: bytes) -> bytes:
    """32 bytes from a key of any length: whoever has recorded a handshake guesses slowly."""
    return hashlib.scrypt(authkey, salt=b"quartermaster psk", n=2**14, r=8, p=1, dklen=32)


def meaning(error: Exception, where: str) -> QueueError:
    """What a failed handshake means, in our own errors. where: host and port."""
    reason = str(getattr(error, "reason", "") or error or type(error).__name__)
    if any(word in reason for word in _WRONG_KEY):
        return WrongKeyError(f"wrong authkey for {where}")
    if "ACCESS_DENIED" in reason:
        return TlsError(f"{where} takes no encrypted connections: see QUEUE_TLS on its side")
    if "CERTIFICATE" in reason:
        return WrongKeyError(f"{where} shows a certificate and does not know the authkey")
    return ConnectionLostError(f"the TLS handshake with {where} failed: {reason}")
