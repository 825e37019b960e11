"""Checks from the bytes of a TLS ClientHello whether it proves the key.

OpenSSL checks the same later. This check takes 20 µs and no memory that stays. An SSL object with
its buffers in asyncio takes 0.5 ms and 0.3 MiB, and strangers could have thousands of them. Source:
RFC 8446, 4.1.2, 4.2.11 and 7.1. OpenSSL's hash for keys of `set_psk_client_callback` is SHA-256.
"""

from __future__ import annotations

import functools
import hashlib
import hmac

RECORD_HEADER_BYTES = 5
_CLIENT_HELLO = 1
_PRE_SHARED_KEY = 41
_HASH_BYTES = 32


def proves(record: bytes, psk: bytes, identity: bytes) -> bool:
    """Whether a TLS record is a ClientHello that offers only this key, and proves it."""
    hello = record[RECORD_HEADER_BYTES:]
    if hello[:1] != bytes([_CLIENT_HELLO]) or _number(hello, 1, 3) != len(hello) - 4:
        return False
    at = 4 + 2 + 32  # version and random
    at += 1 + _number(hello, at, 1)  # session id
    at += 2 + _number(hello, at, 2)  # cipher suites
    at += 1 + _number(hello, at, 1)  # compression
    end = at + 2 + _number(hello, at, 2)
    at += 2
    while at < end and _number(hello, at, 2) != _PRE_SHARED_KEY:
        at += 4 + _number(hello, at + 2, 2)
    offered = _identities(identity)
    binders = at + 4 + len(offered)
    # This extension is the last one, and its binders are the end of the message.
    binders_follow = (_HASH_BYTES + 1).to_bytes(2, "big") + bytes([_HASH_BYTES])
    if end != len(hello) or hello[at + 4 : binders - 4] != offered[:-4]:
        return False
    if hello[binders:-_HASH_BYTES] != binders_follow or len(hello) != binders + 3 + _HASH_BYTES:
        return False
    binder = hmac.digest(_finished_key(psk), hashlib.sha256(hello[:binders]).digest(), "sha256")
    return hmac.compare_digest(binder, hello[-_HASH_BYTES:])


def _number(data: bytes, at: int, size: int) -> int:
    """An unsigned number in network byte order; 0 if the data ends before it."""
    return int.from_bytes(data[at : at + size], "big")


def _identities(identity: bytes) -> bytes:
    """The list with this one identity. Its last four bytes are an age, which may have any value."""
    one = len(identity).to_bytes(2, "big") + identity + bytes(4)
    return len(one).to_bytes(2, "big") + one


@functools.lru_cache(maxsize=2)
def _finished_key(psk: bytes) -> bytes:
    early = hmac.digest(bytes(_HASH_BYTES), psk, "sha256")
    binder = _expand_label(early, b"ext binder", hashlib.sha256().digest())
    return _expand_label(binder, b"finished", b"")


def _expand_label(secret: bytes, label: bytes, context: bytes) -> bytes:
    """HKDF-Expand-Label for one block of SHA-256."""
    full = b"tls13 " + label
    info = _HASH_BYTES.to_bytes(2, "big") + bytes([len(full)]) + full
    info += bytes([len(context)]) + context
    return hmac.digest(secret, info + b"\1", "sha256")
