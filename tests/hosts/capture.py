"""A process in the bridge's namespace records every frame that passes the bridge."""

from __future__ import annotations

import select
import socket
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE

from tests.hosts.namespaces import end, start
from tests.integration.processes import REPO

# From linux/if_packet.h, linux/if_ether.h and asm-generic/socket.h; `socket` lacks some of them.
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_STATISTICS = 263, 1, 6
PACKET_MR_PROMISC, ETH_P_ALL, SO_RCVBUFFORCE = 1, 3, 33
BUFFER_BYTES = 64 << 20
LARGEST_BYTES = 1 << 18  # of a frame; the kernel splits large frames only for real network cards


@dataclass
class Capture:
    """After `with lan.capture() as seen: ...`, `seen.data` has all frames, one after another."""

    inside: list[str]
    path: Path

    def __enter__(self) -> Capture:
        words = [sys.executable, "-m", "tests.hosts.capture", str(self.path)]
        self._process = start([*self.inside, *words], stdin=PIPE, stdout=PIPE, cwd=REPO)
        assert self._process.stdout
        assert self._process.stdout.readline(), "the capture did not start"
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._process.communicate(timeout=30)  # the recorder stops at the end of its input
        finally:
            end(self._process)
        assert self._process.returncode == 0, "the capture has lost frames"

    @property
    def data(self) -> bytes:
        """The frames recorded so far; within the `with`, the last ones may still be missing."""
        return self.path.read_bytes()


def record(path: str) -> int:
    """Write all frames to a file until the standard input ends; return how many were lost."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as tap, open(path, "wb", 0) as frames:
        tap.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        # Without promiscuous mode the bridge does not show what one host sends to another.
        promiscuous = struct.pack("iHH8x", socket.if_nametoindex("br0"), PACKET_MR_PROMISC, 0)
        tap.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, promiscuous)
        tap.bind(("br0", ETH_P_ALL))
        print("ready", flush=True)
        while tap in select.select([tap, sys.stdin], [], [])[0]:
            frames.write(tap.recv(LARGEST_BYTES))
        _, lost = struct.unpack("II", tap.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
    return int(lost)


if __name__ == "__main__":
    sys.exit(record(sys.argv[1]) > 0)
