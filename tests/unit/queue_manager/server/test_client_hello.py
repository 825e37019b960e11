"""A ClientHello is told to prove the key where OpenSSL would say so, and nowhere else.

The bytes are what OpenSSL 3.0 sends with `tls.client_context`, recorded; with a Python that has
pre-shared keys they are made anew too.
"""

from __future__ import annotations

import contextlib
import random
import ssl

import pytest

from queue_manager.server.client_hello import proves
from queue_manager.wire import tls

SALT = bytes(range(16))
PSK = bytes(range(32))
NAME = tls.identity(SALT).encode()
RECORDED = bytes.fromhex(
    "160301014f0100014b030323522fcf1f6aa743e5e40f6e646a01f54e23c1543cb50d0c597f56e6204d5f0820"
    "90cb86800af3fe2612221414e0d5f1919bc6726b1dd445c019d3d542cbcd634f000813021303130100ff0100"
    "00fa00000012001000000d717561727465726d6173746572000b000403000102000a00160014001d0017001e"
    "0019001801000101010201030104002300000016000000170000000d001e001c040305030603080708080809"
    "080a080b080408050806040105010601002b0003020304002d00020101003300260024001d00204d7e3d74f6"
    "a9ce284fdfd813cbfcdee0cec6756587c9d58ac8c25582873af764002900590034002e717561727465726d61"
    "7374657220303030313032303330343035303630373038303930613062306330643065306600000000002120"
    "1832495312bb18f6a2a4d5ba5e49742aa75253e7a8f6e205bc9e549d7b9dbd0b"
)


def made() -> bytes:
    """What this Python's OpenSSL sends."""
    sent = ssl.MemoryBIO()
    client = tls.client_context(PSK, SALT).wrap_bio(
        ssl.MemoryBIO(), sent, server_hostname=tls.SERVER_NAME
    )
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return sent.read()


HELLOS = [RECORDED, *([made()] if tls.has_psk() else [])]


@pytest.mark.parametrize("hello", HELLOS)
def test_what_openssl_sends_proves_the_key_that_it_was_given(hello: bytes) -> None:
    assert proves(hello, PSK, NAME)
    assert not proves(hello, bytes(32), NAME)
    assert not proves(hello, PSK, tls.identity(bytes(16)).encode())


@pytest.mark.parametrize("hello", HELLOS)
def test_every_bit_of_the_message_counts(hello: bytes) -> None:
    for place in range(5, len(hello)):
        changed = bytearray(hello)
        changed[place] ^= 1 << (place % 8)
        assert not proves(bytes(changed), PSK, NAME), place


def test_what_is_cut_short_or_made_up_is_none_and_no_error() -> None:
    for end in range(len(RECORDED)):
        assert not proves(RECORDED[:end], PSK, NAME)
    dice = random.Random(1)
    for _ in range(3_000):
        start, end = sorted(dice.choices(range(5, len(RECORDED)), k=2))
        noise = dice.randbytes(dice.choice((0, 1, end - start)))
        changed = RECORDED[:start] + noise + RECORDED[end:]
        assert changed == RECORDED or not proves(changed, PSK, NAME)
