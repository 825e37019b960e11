"""The pages of a master of these tests, asked as a program asks."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.processes import PATIENCE_S, Master, eventually


@dataclass(frozen=True)
class Answer:
    """One answer. headers: the last of each name."""

    code: int
    headers: dict[str, str]
    text: str


def pages_with(start_master: Callable[..., Master], **jobs: str) -> Web:
    """The pages of a new master that has these jobs. jobs: the text of each file, by its name."""
    master = start_master(MASTER_HTTP_PORT="0")
    for name, text in jobs.items():
        (master.jobs / f"{name}.py").write_text(text)
    return Web(master)


class Web:
    """The pages of a master."""

    def __init__(self, master: Master) -> None:
        self.master = master
        self._folder = Path(master.settings["MASTER_DATA"]) / "web"
        master.process.says("pages: ")

    @property
    def read(self) -> str:
        """The token for looking."""
        return (self._folder / "read").read_text().strip()

    @property
    def act(self) -> str:
        """The token for acting."""
        return (self._folder / "act").read_text().strip()

    @property
    def port(self) -> int:
        """Where they are."""
        return int(self.address.rpartition(":")[2])

    @property
    def address(self) -> str:
        """Where they are, as `http://127.0.0.1:8080`."""
        path = self._folder / "address"
        eventually(path.exists, what="the address of the pages")
        return path.read_text().strip()

    @property
    def link(self) -> str:
        """The link that may act."""
        return f"{self.address}/?token={self.act}"

    def pids(self) -> list[int]:
        """The web process, when it is there."""
        return eventually(lambda: self.master.children("master.web"), what="a web process")

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """One request, with these headers alone."""
        connection = self._connection()
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            return Answer(
                answer.status, {name.title(): text for name, text in answer.getheaders()}, text
            )

    def _connection(self) -> http.client.HTTPConnection:
        if self.address.startswith("http:"):
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        anyone = ssl.create_default_context()
        anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
        of = {"timeout": PATIENCE_S, "context": anyone}
        return http.client.HTTPSConnection("127.0.0.1", self.port, **of)  # type: ignore[arg-type]

    def get(self, path: str, token: str | None = None, **headers: str) -> Answer:
        """token: shown in a header; None is the one for looking."""
        token = self.read if token is None else token
        shown = {"Authorization": f"Bearer {token}"} if token else {}
        return self.ask("GET", path, **shown, **headers)

    def json(self, path: str) -> Any:
        """The data of a page."""
        answer = self.get(path)
        assert answer.code == 200, answer
        return json.loads(answer.text)

    def cookie(self, token: str) -> str:
        """The cookie of a browser that has followed the link."""
        answer = self.get(f"/?token={token}", token="")
        return answer.headers["Set-Cookie"].partition(";")[0]

    def page(self, path: str) -> str:
        """A page as a browser has it that may look."""
        answer = self.get(path, token="", Cookie=self.cookie(self.read))
        assert answer.code == 200, answer
        return answer.text


def certificate(folder: Path) -> dict[str, str]:
    """The settings of encrypted pages, with a certificate that nobody has signed."""
    made = {"HTTP_TLS_CERT": str(folder / "cert.pem"), "HTTP_TLS_KEY": str(folder / "key.pem")}
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-subj", "/CN=pages", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2",
         "-keyout", made["HTTP_TLS_KEY"], "-out", made["HTTP_TLS_CERT"]],
        check=True, capture_output=True,
    )  # fmt: skip
    return made
