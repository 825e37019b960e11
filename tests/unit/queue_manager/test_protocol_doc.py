"""The bytes of the worked example in docs/protocol.md are those that are sent."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from queue_manager import handshake
from queue_manager.messages import decode_reply, decode_request, encode

DOC = Path(__file__).parents[3] / "docs" / "protocol.md"
_FRAME = re.compile(
    r'^([CS])>  \["[^\n]*\n(?:     "[^\n]*\n)?((?:    [0-9a-f]{2} [^\n]*\n)+)', re.M
)


def frames() -> list[tuple[str, bytes]]:
    """Who sends, and the frame; of our own messages alone."""
    found = []
    for who, lines in _FRAME.findall(DOC.read_text("utf-8")):
        text = "".join(line[4:51] for line in lines.splitlines())
        found.append((who, bytes.fromhex(text)))
    return found


def test_the_example_has_messages_of_both_sides() -> None:
    assert [who for who, _ in frames()] == ["C", "S", "C", "S", "C"]


@pytest.mark.parametrize(("who", "frame"), frames())
def test_a_frame_of_the_example_is_what_is_sent(who: str, frame: bytes) -> None:
    size, body = int.from_bytes(frame[:4], "big"), frame[4:]
    assert size == len(body)
    message = decode_request(body) if who == "C" else decode_reply(body)
    if who == "S":
        assert encode(message) == body


def test_the_proofs_of_the_example_are_what_is_made_of_its_key_and_nonces() -> None:
    text = DOC.read_text("utf-8")
    example = text[text.index("S>  challenge;") : text.index("C>  the pickle of (None,")]
    texts = re.findall(r"^[CS]>  (?:[a-z]+[^\n]*)\n((?:    [0-9a-f]{2} [^\n]*\n)+)", example, re.M)
    greeting, hello, server, client = (
        bytes.fromhex("".join(line[4:51] for line in lines.splitlines()))[4:] for lines in texts
    )
    key = handshake.stretched(b"an-example", handshake.read_greeting(greeting).salt).proof
    assert handshake.is_hello(hello)
    assert handshake.is_proof(server, key, "server", greeting, hello)
    assert handshake.is_proof(client, key, "client", greeting, hello)
