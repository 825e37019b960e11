"""A ClientHello is told to prove the key where OpenSSL would say so, and nowhere else.

The bytes are what OpenSSL 3.0 sends with `tls.client_context`, recorded. A Python that has
pre-shared keys makes them anew too.
"""

from __future__ import annotations

import contextlib
import random
import ssl

import pytest

from queue_manager.server.arriving.client_hello import proves
from queue_manager.wire import tls

GREETING = b"the server's first frame"
PSK = bytes(range(32))
NAME = tls.identity(GREETING).encode()
RECORDED = bytes.fromhex(
    "160301016f0100016b0303c0fade8d4541e1298f7324d746a99fd2758755fced43d7cd4cae4a3c0daf2bd020"
    "cf01e91c77b3ffc5c3c1239b3dcf6f07ef59d2f896516efd9af204b65e8908c1000813021303130100ff0100"
    "011a00000012001000000d717561727465726d6173746572000b000403000102000a00160014001d0017001e"
    "0019001801000101010201030104002300000016000000170000000d001e001c040305030603080708080809"
    "080a080b080408050806040105010601002b0003020304002d00020101003300260024001d0020f98539a0da"
    "0f32f0456846aafcef23174ec3053b455d8d3b3c9205021fcba20c002900790054004e717561727465726d61"
    "7374657220653330326366643535383637666366306233313861323238663363616564386338336434626336"
    "31666235636139643964646433393665353464643237393339000000000021209f0ec53fb696999bd9569441"
    "8229d6a8117b6b2dcd352644a0cc56ca2477500e"
)


def made() -> bytes:
    """What this Python's OpenSSL sends."""
    sent = ssl.MemoryBIO()
    client = tls.client_context(PSK, GREETING).wrap_bio(
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
    assert not proves(hello, PSK, tls.identity(b"that of another connection").encode())


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
