"""The commands below `qm schedule`, as they are typed."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Literal, get_args

import click

from queue_manager.authkey import find_authkey
from queue_manager.settings import Settings
from queue_manager.wire.schedules import Missed, Overlap, ScheduleSpec

from ..kinds import JOB, SCHEDULE

_EXAMPLES = """\b
Examples:
  qm schedule add nightly "0 3 * * *" images start=https://example.org/ --zone Europe/Berlin
  qm schedule add half-hourly "*/30 * * * *" report "at={slot}" --missed all --overlap queue
  qm schedule list
  qm schedule pause nightly
"""

Runner = Callable[[Callable[[Settings], Coroutine[Any, Any, int]]], int]


def schedule_words(run: Runner) -> click.Group:
    """The group of commands. run: runs a command, and returns its exit code."""

    @click.group(no_args_is_help=False, epilog=_EXAMPLES)
    def schedule() -> None:
        """Run jobs at times, as cron does."""

    @schedule.command()
    @click.argument("name")
    @click.argument("expression")
    @click.argument("job", type=JOB)
    @click.argument("arguments", nargs=-1)
    @click.option("--zone", default="UTC", metavar="ZONE", help="Such as Europe/Berlin.")
    @click.option(
        "--missed",
        type=click.Choice(get_args(Missed)),
        default="last",
        help="Which slots run that came while no master was there. [last]",
    )
    @click.option(
        "--overlap",
        type=click.Choice(get_args(Overlap)),
        default="skip",
        help="What becomes of a slot while the run before goes on. [skip]",
    )
    def add(
        name: str,
        expression: str,
        job: str,
        arguments: tuple[str, ...],
        zone: str,
        missed: Missed,
        overlap: Overlap,
    ) -> int:
        """Run JOB at the times of EXPRESSION, such as "0 3 * * *". {slot} is the time of a run."""
        from .asking import add_schedule

        spec = ScheduleSpec(name, expression, job, list(arguments), zone, missed, overlap)
        return run(lambda s: add_schedule(s, find_authkey(s), spec))

    @schedule.command("list")
    @click.option("--format", "form", type=click.Choice(["text", "jsonl"]), default="text")
    def show(form: str) -> int:
        """Show all schedules, and when they run next."""
        from .asking import list_schedules

        return run(lambda s: list_schedules(s, find_authkey(s), form))

    def changing(verb: str, to: Literal["paused", "resumed", "removed"], text: str) -> None:
        @schedule.command(verb, help=text)
        @click.argument("name", type=SCHEDULE)
        def change(name: str) -> int:
            from .asking import change_schedule

            return run(lambda s: change_schedule(s, find_authkey(s), name, to))

    changing("pause", "paused", "Make no runs of the schedule NAME until it is resumed.")
    changing("resume", "resumed", "Make runs of the schedule NAME again, from its next slot on.")
    changing("remove", "removed", "Remove the schedule NAME. Its runs stay.")
    return schedule
