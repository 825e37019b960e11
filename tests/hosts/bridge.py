"""The bridge between the hosts, in a network namespace that one process keeps alive.

A cut takes a port off the bridge but does not set it down. So the host at its other end sees no
loss of carrier, and frames from and to that host vanish without an answer.

"""

from __future__ import annotations

import os

from tests.hosts.namespaces import end, in_network, run, start
from tests.integration.processes import eventually

NET = "203.0.113"  # TEST-NET-3 (RFC 5737), which is in no address pool of Docker
ADDRESS = f"{NET}.1"
# With these settings the machine at ADDRESS reports at once that the rest of the world is
# unreachable, and accepts nothing from a cut port.
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
            # The bridge needs a MAC address of its own. Without one it takes that of a port, and
            # changes it when that port goes; hosts keep using the old one for half a minute.
            f"link add br0 address {_mac(1)} type bridge",
            f"address add {ADDRESS}/24 dev br0",
            "link set br0 up",
        )

    def _ip(self, *lines: str) -> None:
        run([*self.inside, "ip", "-batch", "-"], stdin="\n".join(lines))

    def plug(self, name: str, number: int, pid: int) -> None:
        """Connect the network of a process as its eth0. The number decides the MAC address."""
        peer = f"peer name eth0 address {_mac(number)} netns {pid}"
        self._ip(f"link add {name} type veth {peer}")
        # The default route leads nowhere, but it makes a connection to the world fail at once.
        lines = [
            "link set lo up",
            f"address add {NET}.{number}/24 dev eth0",
            "link set eth0 up",
            f"route add default via {ADDRESS}",
        ]
        run([*in_network(pid), "ip", "-batch", "-"], stdin="\n".join(lines))
        self._ip(f"link set {name} master br0 up")

    def unplug(self, name: str) -> None:
        """Remove a port, unless the end of its host has removed it already."""
        run([*self.inside, "ip", "link", "delete", name], check=False)

    def cut(self, name: str) -> None:
        """Silently drop everything at a port."""
        self._ip(f"link set {name} nomaster")

    def heal(self, name: str) -> None:
        """Let everything pass a port again."""
        self._ip(f"link set {name} master br0")

    def close(self) -> None:
        """End the keeper process; the kernel then removes the namespace and all in it."""
        end(self._keeper)


def _mac(number: int) -> str:
    """Return the MAC address of the machine whose address ends with this number."""
    return f"02:71:6d:00:00:{number:02x}"
