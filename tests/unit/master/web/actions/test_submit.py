"""A form becomes a request that the master can read, or says which field is wrong."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from master.web.actions.action import FieldError, Fields, Outcome
from master.web.actions.submit import Submits, request_of
from master.web.pages.page import Asked, Desk
from queue_manager.errors import RefusedError
from queue_manager.settings import load_settings
from queue_manager.wire.job_records import ArgumentInfo, JobInfo
from queue_manager.wire.messages import AskJobs, AskRun, JobList, RunStarted, StartRun
from tests.unit.master.web.loops import in_loop


class Starts:
    """A master that starts runs. refusal: its line in place of a run."""

    def __init__(self, refusal: str = "") -> None:
        self.refusal = refusal
        self.forgotten: set[int] = set()
        self.asked: list[StartRun] = []

    async def ask(self, make: Any, answer: type[Any], within_s: float = 5.0) -> Any:
        request = make(1)
        await asyncio.sleep(0)
        if isinstance(request, AskJobs):
            arguments = [ArgumentInfo("count", "a whole number", "10")]
            return JobList(1, [JobInfo(request.job, arguments=arguments)])
        if isinstance(request, AskRun):
            if request.run in self.forgotten:
                raise RefusedError(f"there is no run {request.run}")
            return None
        self.asked.append(request)
        if self.refusal:
            raise RefusedError(self.refusal)
        return RunStarted(1, len(self.asked), True)


def asked(master: Starts, job: str = "square", visitor: str = "") -> Asked:
    recent = cast(Any, None)
    desk = Desk(cast(Any, master), recent, cast(Any, None), load_settings({}))
    return Asked(desk, {"job": job}, {}, visitor=visitor)


async def submitted(master: Starts, submits: Submits | None = None, **fields: str) -> Outcome:
    pairs = [(name.replace("_", "."), text) for name, text in fields.items()]
    return await (submits or Submits()).carry_out(asked(master), Fields(pairs))


@in_loop
async def test_what_was_typed_is_what_is_asked_for() -> None:
    master = Starts()
    outcome = await submitted(
        master, arg_count="3", args="a=1\nb=2", key=" k ", needs="gpu, big", after="1, 2 3"
    )
    (request,) = master.asked
    assert (request.job, request.args) == ("square", ["count=3", "a=1", "b=2"])
    assert (request.key, request.needs, request.after) == ("k", ["big", "gpu"], [1, 2, 3])
    assert (outcome.to, outcome.of["created"]) == ("/runs/1", 1)
    await submitted(master)
    assert master.asked[1] == StartRun(1, "square", [])


@in_loop
async def test_two_clicks_on_one_form_are_one_run() -> None:
    master, submits = Starts(), Submits()
    first, second = await asyncio.gather(
        *(submitted(master, submits, once="abc", key="") for _ in range(2))
    )
    assert first.to == second.to == "/runs/1"
    assert (await submitted(master, submits, once="other")).to == "/runs/2"
    assert len(master.asked) == 2


@in_loop
async def test_another_job_another_visitor_and_other_fields_are_other_forms() -> None:
    master, submits = Starts(), Submits()
    once = ("once", "abc")

    async def run_of(job: str = "square", visitor: str = "a", count: str = "1") -> str:
        fields = Fields([once, ("arg.count", count)])
        return (await submits.carry_out(asked(master, job, visitor), fields)).to

    assert await run_of() == "/runs/1"
    assert await run_of(job="cube") == "/runs/2"
    assert await run_of(visitor="b") == "/runs/3"
    assert await run_of(count="2") == "/runs/4"
    assert await run_of() == "/runs/1"
    assert len(master.asked) == 4


@in_loop
async def test_a_form_whose_run_was_forgotten_submits_another_one() -> None:
    master, submits = Starts(), Submits()
    assert (await submitted(master, submits, once="abc")).to == "/runs/1"
    master.forgotten.add(1)
    again = await asyncio.gather(*(submitted(master, submits, once="abc") for _ in range(2)))
    assert {outcome.to for outcome in again} == {"/runs/2"}


@in_loop
async def test_a_form_that_was_wrong_can_be_sent_again() -> None:
    master, submits = Starts("argument 'count' is a whole number, not 'x'"), Submits()
    with pytest.raises(FieldError) as wrong:
        await submitted(master, submits, once="abc", arg_count="x")
    assert wrong.value.field == "arg.count"
    master.refusal = ""
    assert (await submitted(master, submits, once="abc", arg_count="3")).to == "/runs/2"


@in_loop
async def test_a_refusal_about_no_field_stays_the_masters() -> None:
    with pytest.raises(RefusedError, match="is full") as raised:
        await submitted(Starts("the disk is full"))
    assert not isinstance(raised.value, FieldError)


@pytest.mark.parametrize(
    ("field", "text", "line"),
    [
        ("after", "one", "'one' is no number of a run"),
        ("after", "9" * 30, "is no number of a run"),
        ("after", " ".join("1" * 2_000), "may have 1,024"),
        ("needs", "g p u", "a tag is made of"),
        ("needs", ",".join(f"t{n}" for n in range(300)), "at most 256 tags"),
        ("key", "\ud800", "no Unicode text"),
        ("arg.count", "\ud800", "no Unicode text"),
        ("cuont", "3", "there is no field 'cuont'"),
    ],
)
def test_what_no_request_can_have_is_wrong_in_its_field(field: str, text: str, line: str) -> None:
    with pytest.raises(FieldError, match=line) as wrong:
        request_of("square", Fields([(field, text)]))
    assert wrong.value.field == field
