"""Has the Service `quartermaster` lead to this pod while the master in it is the active one.

It asks the master's own pages on loopback whether they are ready, which those of a standby are not,
and writes the pod's address into one EndpointSlice. Whoever becomes active overwrites the address
of the one before, so there is one at most. It knows the standard library alone, and nothing of the
queue.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ACCOUNT = Path("/run/secrets/kubernetes.io/serviceaccount")
SLICE = "quartermaster-active"
LOOK_S = 0.5
LIMIT_S = 2.0


def is_active(port: int = 8080) -> bool:
    """Whether the master of this pod is the active one, and answers."""
    pages = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
    try:
        pages.request("GET", "/readyz")
        return pages.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        pages.close()


@dataclass
class Slice:
    """The EndpointSlice. connect: opens a connection to the API. token: the file with the token.

    address: this pod's.
    """

    connect: Callable[[], http.client.HTTPConnection]
    namespace: str
    token: Path
    address: str

    def lead_here(self) -> bool:
        """Write the address, if another one is there. Returns whether it was written.

        Raises OSError or http.client.HTTPException if the API does not answer, RuntimeError if it
        refuses.
        """
        found = self._ask("GET").get("endpoints") or []
        wanted = [{"addresses": [self.address], "conditions": {"ready": True}}]
        if [one.get("addresses") for one in found] == [[self.address]]:
            return False
        self._ask("PATCH", {"endpoints": wanted})
        return True

    def _ask(self, method: str, change: object = None) -> dict[str, list[dict[str, object]]]:
        api = self.connect()
        try:
            path = f"/apis/discovery.k8s.io/v1/namespaces/{self.namespace}/endpointslices/{SLICE}"
            # The token is a file that Kubernetes renews.
            headers = {"Authorization": f"Bearer {self.token.read_text('ascii').strip()}"}
            headers["Content-Type"] = "application/merge-patch+json"
            body = None if change is None else json.dumps(change)
            api.request(method, path, body, headers)
            answer = api.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"the API refuses {method} {SLICE}: HTTP {answer.status}")
            found: dict[str, list[dict[str, object]]] = json.loads(text)
            return found
        finally:
            api.close()


def look(active: Callable[[], bool], slice_: Slice, told: str) -> str:
    """Look once. told: the trouble of the time before. Returns that of this time, or nothing."""
    if not active():
        return told
    try:
        if slice_.lead_here():
            print(f"the active master is here: {slice_.address}", file=sys.stderr, flush=True)
    except (OSError, http.client.HTTPException, RuntimeError, ValueError) as error:
        trouble = str(error) or type(error).__name__
        if trouble != told:
            print(f"the Service may lead elsewhere: {trouble}", file=sys.stderr, flush=True)
        return trouble
    return ""


def main() -> None:
    """Look until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT_HTTPS"]
    context = ssl.create_default_context(cafile=ACCOUNT / "ca.crt")

    def connect() -> http.client.HTTPConnection:
        return http.client.HTTPSConnection(host, int(port), timeout=LIMIT_S, context=context)

    here = Slice(connect, os.environ["POD_NAMESPACE"], ACCOUNT / "token", os.environ["POD_IP"])
    told = ""
    while True:
        told = look(is_active, here, told)
        time.sleep(LOOK_S)


if __name__ == "__main__":
    main()
