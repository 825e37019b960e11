"""A name server for tests, with a zone of their own. dnspython reads and writes its messages.

As a program it stands in a container of its own: `name_server.py ZONE.json`.
"""

from __future__ import annotations

import json
import signal
import socket
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

Zone = dict[str, dict[str, list[str]] | str]
"""By name in lower case, without the last dot: its records by their type, such as
`{"MX": ["10 mx.example."]}`, or the code of an answer without any: "SERVFAIL". A name that is not
there gets NXDOMAIN."""


class NameServer:
    """A name server on a free port of loopback, or elsewhere.

    Attributes:
        zone: what it says, at any time.
        asked: how often each name was asked for, with its type: `("a.example", "MX")`.
    """

    def __init__(self, zone: Zone, host: str = "127.0.0.1", port: int = 0) -> None:
        self.zone, self.asked = zone, Counter[tuple[str, str]]()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, port))
        self._socket.settimeout(0.1)
        self.port: int = self._socket.getsockname()[1]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> NameServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                data, sender = self._socket.recvfrom(4096)
            except TimeoutError:
                continue
            self._socket.sendto(self._answer(dns.message.from_wire(data)).to_wire(), sender)

    def _answer(self, query: Any) -> Any:
        (question,) = query.question
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked[name, kind] += 1
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        known = self.zone.get(name, "NXDOMAIN")
        if isinstance(known, str):
            answer.set_rcode(dns.rcode.from_text(known))
        elif texts := known.get(kind):
            records = dns.rrset.from_text(question.name, 60, dns.rdataclass.IN, kind, *texts)
            answer.answer.append(records)
        return answer


def main() -> None:
    """Serve on port 53 of all addresses until a signal ends it."""
    zone = json.loads(Path(sys.argv[1]).read_text())
    with NameServer(zone, "0.0.0.0", 53):
        signal.pause()


if __name__ == "__main__":
    main()
