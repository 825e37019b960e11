"""Each row can be found: its program, its lock, its name."""

from __future__ import annotations

import ast

import pytest

from bench.peers import catalogue, environment
from bench.peers.catalogue import PEERS, Peer
from bench.rig.processes import ROOT


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_peer_has_its_program_and_its_lock(peer: Peer) -> None:
    program = ROOT.joinpath(*peer.module.split(".")).with_suffix(".py")
    names = {node.name for node in ast.parse(program.read_text()).body if hasattr(node, "name")}
    assert "Client" in names
    assert not peer.lock or (environment.LOCKS / f"{peer.lock}.txt").exists()


def test_no_lock_is_without_a_row() -> None:
    locks = {path.stem for path in environment.LOCKS.glob("*.txt")}
    assert locks == {peer.lock for peer in PEERS} - {""}


def test_a_name_stands_for_all_rows_of_a_peer() -> None:
    assert [peer.name for peer in catalogue.named(["huey"])] == ["Huey", "Huey, appendfsync always"]


def test_a_name_that_no_peer_has_is_an_error() -> None:
    with pytest.raises(KeyError, match="nobody"):
        catalogue.named(["huey", "nobody"])


def test_every_server_listens_on_loopback_alone() -> None:
    for peer in PEERS:
        program = peer.broker.partition(" ")[0]
        if program not in ("", "python"):
            assert "127.0.0.1" in peer.broker, peer.name
