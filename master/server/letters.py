"""Cuts the texts of dead letters, so that a page of them fits in a frame."""

from __future__ import annotations

import msgspec

from queue_manager.wire.records import DeadLetter, ResultBlock

LETTERS_BYTES = 4 * 1024 * 1024
"""How many bytes of texts a page of dead letters may have: a block could fill many frames."""

_CUT = "[cut]"


def trimmed(blocks: list[ResultBlock], dead: bool) -> list[ResultBlock]:
    """Blocks with texts that fit in a frame. dead: keep the evidence, which results do not show."""
    count = sum(len(block.dead) for block in blocks)
    return [
        msgspec.structs.replace(block, dead=[_short(d, count, dead) for d in block.dead])
        for block in blocks
    ]


def trimmed_letters(letters: list[DeadLetter]) -> list[DeadLetter]:
    """Dead letters with texts that fit in a frame together."""
    return [_short(letter, len(letters), True) for letter in letters]


def _short(letter: DeadLetter, count: int, evidence: bool) -> DeadLetter:
    """A dead letter whose texts are its share of what `count` letters may have."""
    limit_bytes = LETTERS_BYTES // 4 // count
    return msgspec.structs.replace(
        letter,
        error=cut_back(letter.error, limit_bytes),
        evidence=cut_front(letter.evidence, limit_bytes) if evidence else "",
        printed=cut_front(letter.printed, limit_bytes) if evidence else "",
        raised=letter.raised if evidence and len(letter.raised) <= limit_bytes else b"",
    )


def cut_front(text: str, limit_bytes: int) -> str:
    """The end of a text: a traceback says there what was raised."""
    if len(text) * 4 <= limit_bytes or len(data := text.encode()) <= limit_bytes:
        return text
    return f"{_CUT} {data[len(data) - limit_bytes :].decode(errors='ignore')}"


def cut_back(text: str, limit_bytes: int) -> str:
    """The beginning of a text."""
    if len(text) * 4 <= limit_bytes or len(data := text.encode()) <= limit_bytes:
        return text
    return f"{data[:limit_bytes].decode(errors='ignore')} {_CUT}"
