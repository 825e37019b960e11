"""Reads a call that is like one before it, except for the one short value among its bytes.

A client that puts one task after the other sends the same bytes each time, around another number or
text. What these bytes say is known then. Only the value has to be read: it is one opcode, and takes
no more memory than its bytes. This module knows nothing of what a call means.

Source of the opcodes: CPython's `Lib/pickletools.py`. Source of their order: `save_tuple` and
`save_str` of `Lib/pickle.py`, protocol 4 and later.
"""

from __future__ import annotations

_FRAME, _FRAME_END = 2, 11
"""Where the opcode of the frame is, which PROTO is in front of, and where its size ends."""

_BEHIND = b"\x85\x94}\x94t\x94."
"""A tuple of one is made of the value, an empty dict behind it, and a tuple of all."""

_MEMOIZE = 0x94
_UINT8, _UINT16, _INT32, _TEXT = b"KMJ\x8c"


class OneValue:
    """The bytes of a call around its one value.

    Args:
        protocol: the bytes in front of the size of the frame.
        names: the bytes between that size and the value.
    """

    def __init__(self, protocol: bytes, names: bytes) -> None:
        self._protocol = protocol
        self._names = names
        self._at = _FRAME_END + len(names)

    @classmethod
    def of(cls, frame: bytes, ident: str, method: str) -> OneValue | None:
        """The bytes around the value of a call that was read as `(ident, method, (value,), {})`.

        None: they are not those of CPython's picklers. The value of this call may be any.
        """
        around = cls(frame[: _FRAME + 1], b"(" + _name(ident) + _name(method))
        known = frame[:1] == b"\x80" and frame[_FRAME : _FRAME + 1] == b"\x95"
        return around if known and around._is_around(frame) else None

    def values(self, frame: bytes) -> tuple[int | str] | None:
        """The arguments of a call that has these bytes around a short number or text.

        None: it is another call, or has to be read as a whole.
        """
        if not self._is_around(frame):
            return None
        at, end = self._at, len(frame) - len(_BEHIND)
        code, size = frame[at], end - at
        if code == _UINT8 and size == 2:
            return (frame[at + 1],)
        if code == _UINT16 and size == 3:
            return (int.from_bytes(frame[at + 1 : end], "little"),)
        if code == _INT32 and size == 5:
            return (int.from_bytes(frame[at + 1 : end], "little", signed=True),)
        if code == _TEXT and size == 3 + frame[at + 1] and frame[end - 1] == _MEMOIZE:
            return _text(frame[at + 2 : end - 1])
        return None

    def _is_around(self, frame: bytes) -> bool:
        return (
            frame.startswith(self._protocol)
            and frame.startswith(self._names, _FRAME_END)
            and frame.endswith(_BEHIND)
            and int.from_bytes(frame[_FRAME + 1 : _FRAME_END], "little") == len(frame) - _FRAME_END
        )


def _name(text: str) -> bytes:
    """A short name as a pickler writes it."""
    data = text.encode()
    return b"\x8c%c%b\x94" % (len(data) % 256, data)


def _text(data: bytes) -> tuple[str] | None:
    try:
        return (data.decode("utf-8", "surrogatepass"),)
    except UnicodeDecodeError:
        return None
