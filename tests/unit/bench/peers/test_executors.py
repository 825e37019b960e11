"""Executors in turns: a round that fails is tried again, and a row that cannot go on says why."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench.peers import executors
from bench.peers.catalogue import Peer


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many rounds of a row fail, by its name. Any other round takes a second."""
    left: dict[str, int] = {}

    def one_round(peer: Peer, python: str, count: int) -> float:
        if left.get(peer.name, 0) > 0:
            left[peer.name] -= 1
            raise RuntimeError(f"{peer.name} is broken")
        return 1.0

    monkeypatch.setattr(executors, "_round", one_round)
    monkeypatch.setattr(executors.kernel, "isolate", lambda: True)
    monkeypatch.setattr(executors.environment, "python_of", lambda *_: "python")
    return left


def told(capsys: pytest.CaptureFixture[str], rounds: int) -> tuple[dict[str, Any], str]:
    executors.main(10, rounds, with_peers=True)
    said = capsys.readouterr()
    found: dict[str, Any] = json.loads(said.out)
    return found, said.err


def test_a_round_that_fails_is_tried_again_and_said(
    broken: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    broken["Dask"] = 1
    found, said = told(capsys, 3)
    assert said == "Dask: Dask is broken; once more\n"
    assert found["missing"] == {}
    assert {name: len(taken) for name, taken in found["took_s"].items()} == {
        "ours": 3,
        "ProcessPoolExecutor": 3,
        "Dask": 3,
        "Ray": 3,
    }


def test_a_row_that_cannot_go_on_has_its_reason_and_no_rounds(
    broken: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    """All rows that are left have as many rounds, so that ratios can be made of them."""
    broken["Dask"] = 100
    found, _ = told(capsys, 2)
    assert found["missing"] == {"Dask": "Dask is broken"}
    assert set(found["took_s"]) == {"ours", "ProcessPoolExecutor", "Ray"}


def test_without_a_network_of_its_own_nothing_that_listens_everywhere_is_started(
    broken: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(executors.kernel, "isolate", lambda: False)
    found, _ = told(capsys, 1)
    assert "root" in found["missing"]["Ray"]
    assert "Ray" not in found["took_s"]


def test_what_is_compared_is_installed_while_a_registry_can_be_reached(
    broken: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On a new machine Dask and Ray could not be installed, for the network was isolated."""
    done: list[str] = []

    def install(lock: str, _: tuple[int, int]) -> str:
        if lock == "ray":
            raise executors.MissingError("not installed: no wheel")
        done.append(lock)
        return "python"

    def isolate() -> bool:
        done.append("isolated")
        return True

    monkeypatch.setattr(executors.environment, "python_of", install)
    monkeypatch.setattr(executors.kernel, "isolate", isolate)
    found, _ = told(capsys, 1)
    assert done == ["dask", "isolated"]
    assert found["missing"] == {"Ray": "not installed: no wheel"}
