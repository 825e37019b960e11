"""The bytes of the worked example in docs/protocol.md are those that are sent."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from queue_manager.wire import handshake
from queue_manager.wire.messages import Reply, Request, decode_reply, decode_request, encode
from queue_manager.wire.records import Outcome

DOC = Path(__file__).parents[4] / "docs" / "protocol.md"
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


def documented() -> dict[str, str]:
    """The fields of each message and outcome, as the document has them, by tag."""
    text = DOC.read_text("utf-8")
    part = text[text.index("### Messages to the master") : text.index("### Silence")]
    found: dict[str, str] = {}
    for names, fields in re.findall(r"^\| (`[^|]*`) \| (.*?) *\| ", part, re.M):
        for name in re.findall(r"`([^`]+)`", names):
            found[name] = fields.replace("runs (or sessions)", name)
    return found


def written(kind: Any) -> str:
    """The fields of a message as the document writes them."""
    names = {"None": "nil", "False": "false", "True": "true", "set()": "[]"}
    parts = []
    for field in msgspec.structs.fields(kind):
        default = field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        shown = f'"{default}"' if isinstance(default, str) else repr(default)
        text = "" if default is msgspec.NODEFAULT else f" = {names.get(shown, shown)}"
        parts.append(field.encode_name + text)
    return ", ".join(parts)


KINDS = [*get_args(Request), *get_args(Reply), *get_args(Outcome)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_message_has_the_fields_that_the_document_names(kind: Any) -> None:
    assert documented()[kind.__struct_config__.tag] == written(kind)


def test_the_document_names_no_other_message() -> None:
    assert documented().keys() == {kind.__struct_config__.tag for kind in KINDS}
