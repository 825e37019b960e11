"""One connection to one place, up to the server's first frame. No call here waits."""

from __future__ import annotations

import errno
import os
import selectors
import socket

from ...errors import ConnectionLostError, ProtocolError
from .. import handshake
from ..framing import CLIENT_UNACKNOWLEDGED_S, tune
from .places import Place

CONNECT_S = 5.0
FRAME_S = 5.0

_LENGTH_BYTES = 4
_UNDER_WAY = (0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EINTR)


class Attempt:
    """A connection that is being made.

    Attributes:
        events: what to wait for on the socket before the next `go_on`.
        until: when to give it up, in seconds of the monotonic clock.

    Raises OSError if it fails at once.
    """

    def __init__(self, place: Place, now: float) -> None:
        self.place = place
        self.sock = socket.socket(place.family, socket.SOCK_STREAM)
        try:
            self.sock.setblocking(False)
            tune(self.sock, CLIENT_UNACKNOWLEDGED_S)
            code = self.sock.connect_ex(place.sockaddr)
            if code not in _UNDER_WAY:
                raise OSError(code, os.strerror(code))
        except BaseException:
            self.sock.close()
            raise
        self.events = selectors.EVENT_WRITE
        self.until = now + CONNECT_S
        self._read = b""

    def go_on(self, now: float) -> bytes | None:
        """The socket is ready. Returns the first frame's body once it is whole.

        Raises:
            ProtocolError: the other side is no master.
            OSError: the other side can't be reached, or has closed the connection.
        """
        if self.events == selectors.EVENT_WRITE:
            code = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
            self.events = selectors.EVENT_READ
            self.until = now + FRAME_S
            return None
        # Not a byte more than the first frame: the rest is read by whoever goes on with the socket.
        part = self.sock.recv(_LENGTH_BYTES + self._size - len(self._read))
        if not part:
            raise ConnectionLostError(
                f"{self.place.label} closed the connection during the handshake"
            )
        self._read += part
        if self._size > handshake.HANDSHAKE_BYTES:
            raise ProtocolError("the other side does not speak multiprocessing's handshake")
        whole = self._has_length and len(self._read) == _LENGTH_BYTES + self._size
        return self._read[_LENGTH_BYTES:] if whole else None

    def too_late(self) -> OSError:
        """What has failed when `until` is over."""
        if self.events == selectors.EVENT_WRITE:
            return TimeoutError(f"it does not answer within {CONNECT_S:g} s")
        return TimeoutError(f"it takes longer than {FRAME_S:g} s for a frame")

    @property
    def _has_length(self) -> bool:
        return len(self._read) >= _LENGTH_BYTES

    @property
    def _size(self) -> int:
        return int.from_bytes(self._read[:_LENGTH_BYTES], "big") if self._has_length else 0
