"""The store that the bench leaves out has every verb of the real ones, called in the same way."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from bench.rig.null_store import NullStore
from master.store.contract import Store

VERBS = sorted(name for name in vars(Store) if name[0] != "_" and callable(vars(Store)[name]))


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_of_the_contract_takes_the_same_arguments(verb: str) -> None:
    wanted = inspect.signature(vars(Store)[verb]).parameters
    assert inspect.signature(getattr(NullStore, verb)).parameters == wanted


def test_it_has_what_the_contract_says_of_its_state(tmp_path: Path) -> None:
    store = NullStore(tmp_path)
    assert all(hasattr(store, name) for name in inspect.get_annotations(Store))
