"""A real Prometheus of this machine, which scrapes a master with its token."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.processes import Master, Process, eventually
from tests.integration.web import Web

REPO = Path(__file__).resolve().parents[2]


class Prometheus:
    """A Prometheus that scrapes one master each second, with the rules of deploy/."""

    def __init__(self, folder: Path, web: Web, started: list[Any]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        folder.mkdir()
        (folder / "token").write_text(web.read)
        config = yaml.safe_load((REPO / "deploy/metrics/prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(REPO / "deploy/alerts.yml")]
        (scrape,) = config["scrape_configs"]
        scrape["authorization"]["credentials_file"] = str(folder / "token")
        scrape["static_configs"] = [{"targets": [f"127.0.0.1:{web.port}"]}]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        words = [
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
        self.process = Process(folder / "prometheus.log", words, dict(os.environ))
        started.append(self.process)
        self.process.says("Server is ready to receive web requests")

    def ask(self, path: str, **query: str) -> Any:
        """The data of an answer. A wrong query is an AssertionError with the text of Prometheus."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{query}: {error.read().decode()}") from None

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """What an expression gives now: labels and values."""
        found = self.ask("query", query=expression)["result"]
        return [(one["metric"], float(one["value"][1])) for one in found]

    def value(self, expression: str) -> float | None:
        """The only value of an expression; None while there is none."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return found[0][1] if found else None


@pytest.fixture
def web(start_master: Callable[..., Master]) -> Web:
    """A master with pages on a free port."""
    return Web(start_master(MASTER_HTTP_PORT="0"))


@pytest.fixture
def prometheus(tmp_path: Path, web: Web, started: list[Any]) -> Prometheus:
    """A Prometheus that has scraped the master."""
    made = Prometheus(tmp_path / "prometheus", web, started)
    eventually(lambda: made.value("quartermaster_up") == 1, what="a scrape")
    return made


def promtool(*words: str, given: bytes = b"") -> str:
    """What promtool says; it must find nothing wrong."""
    done = subprocess.run(
        ["promtool", *words], input=given, capture_output=True, timeout=60, cwd=REPO / "deploy"
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    return (done.stdout + done.stderr).decode()
