"""The bridge between the hosts, in a network namespace that a process of its own keeps.

A cut port is taken off the bridge and not set down: the host at its other end sees no carrier
loss, and its frames, like those for it, vanish without an answer.
"""

from __future__ import annotations

import os

from tests.hosts.namespaces import end, in_network, run, start
from tests.integration.processes import eventually

NET = "203.0.113"  # TEST-NET-3 (RFC 5737): clashes with no address pool of Docker
ADDRESS = f"{NET}.1"
# The machine at ADDRESS says at once that the rest of the world is unreachable, and hears nothing
# from a cut port.
ANSWERS = """
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter
"""


class Bridge:
    """A switch named br0 and, at ADDRESS, a machine beside the hosts."""

    def __init__(self) -> None:
        self._keeper = start(["unshare", "--net", "sleep", "infinity"])
        own = os.readlink("/proc/self/ns/net")
        eventually(lambda: os.readlink(f"/proc/{self._keeper.pid}/ns/net") != own)
        self.inside = in_network(self._keeper.pid)
        run([*self.inside, "sh", "-c", ANSWERS])
        self._ip(
            "link set lo up",
            # An address of its own: else it is that of some port, and changes when that goes, while
            # the hosts go on with the old one for half a minute.
            f"link add br0 address {_mac(1)} type bridge",
            f"address add {ADDRESS}/24 dev br0",
            "link set br0 up",
        )

    def _ip(self, *lines: str) -> None:
        run([*self.inside, "ip", "-batch", "-"], stdin="\n".join(lines))

    def plug(self, name: str, number: int, pid: int) -> None:
        """Connect the network of a process, as eth0; its MAC stays the same for a number."""
        peer = f"peer name eth0 address {_mac(number)} netns {pid}"
        self._ip(f"link add {name} type veth {peer}")
        # The default route leads nowhere, but what is not there fails at once with it.
        lines = [
            "link set lo up",
            f"address add {NET}.{number}/24 dev eth0",
            "link set eth0 up",
            f"route add default via {ADDRESS}",
        ]
        run([*in_network(pid), "ip", "-batch", "-"], stdin="\n".join(lines))
        self._ip(f"link set {name} master br0 up")

    def unplug(self, name: str) -> None:
        """Remove a port, if the end of its host has not yet removed it."""
        run([*self.inside, "ip", "link", "delete", name], check=False)

    def cut(self, name: str) -> None:
        """Let nothing pass a port, silently."""
        self._ip(f"link set {name} nomaster")

    def heal(self, name: str) -> None:
        """Let a port pass everything."""
        self._ip(f"link set {name} master br0")

    def close(self) -> None:
        """End the keeper; the namespace and all in it go with it."""
        end(self._keeper)


def _mac(number: int) -> str:
    """That of the machine with this number as the last part of its address."""
    return f"02:71:6d:00:00:{number:02x}"
