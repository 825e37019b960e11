"""A form that is filled in with the arguments of a run gives the same arguments."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from master.web.actions.action import Fields
from master.web.actions.again import filled
from master.web.actions.inputs import args_of
from queue_manager.wire.job_records import JobInfo


@pytest.mark.parametrize(
    "argument",
    [
        "q=x y=1",
        'p="a"',
        "p='a b'",
        "p=x ",
        "p=a b",
        "p={'a': 1}",
        "p=",
        "p=\\d+",
        "p=it's",
    ],
)
def test_an_argument_without_a_field_of_its_own_comes_back_as_it_was(argument: str) -> None:
    run: Any = SimpleNamespace(args=[argument], values=0)
    found = filled(run, JobInfo("any", more=True))
    fields = found.fields
    typed = Fields(
        ((name, text) for name in fields.names for text in fields.texts(name)), typed=True
    )
    assert (args_of(typed), found.lost) == ([argument], [])
