"""schedules.toml: what it may say, and one line for what it may not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from master.schedules.file import look_at, schedules_in, stamp_of
from queue_manager.errors import RefusedError
from queue_manager.wire.limits import SCHEDULES
from queue_manager.wire.schedules import ScheduleSpec


def read_file(path: Path) -> list[ScheduleSpec]:
    return schedules_in(look_at(path), path)


def test_a_file_has_schedules_by_their_names(tmp_path: Path) -> None:
    path = tmp_path / "schedules.toml"
    path.write_text(
        '[nightly]\ncron = "0 3 * * *"\njob = "report"\nargs = "day={slot:%F} \'to=a b\'"\n'
        'zone = "Europe/Berlin"\nmissed = "all"\noverlap = "queue"\n'
        '[often]\ncron = "@hourly"\njob = "square"\nargs = ["count=3"]\n'
    )
    args = ["day={slot:%F}", "to=a b"]
    assert read_file(path) == [
        ScheduleSpec("nightly", "0 3 * * *", "report", args, "Europe/Berlin", "all", "queue"),
        ScheduleSpec("often", "@hourly", "square", ["count=3"]),
    ]


def test_no_file_has_no_schedules(tmp_path: Path) -> None:
    path = tmp_path / "none" / "schedules.toml"
    assert read_file(path) == []
    assert stamp_of(path) == ()


def test_the_stamp_of_a_look_is_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "schedules.toml"
    path.write_text("")
    assert look_at(path).stamp == stamp_of(path) != ()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[a\n", "Expected"),
        ("a = 1\n", "a is in no table: a schedule is one"),
        ('[a]\ncron = "0 3 * * *"\n', "[a]: it has no `job`"),
        ('[a]\ncron = "0 3 * * *"\njob = "j"\nevery = 3\n', "[a]: there is no field `every`"),
        (
            '[a]\ncron = "0 3 * * *"\njob = "j"\nmissed = "some"\n',
            "[a]: Invalid enum value 'some', in `missed`",
        ),
        ('[a]\ncron = "0 3 * *"\njob = "j"\n', "[a]: '0 3 * *' is no cron expression"),
        (
            '[a]\ncron = "0 3 * * *"\njob = "j"\nzone = "Nowhere"\n',
            "[a]: 'Nowhere' is no time zone",
        ),
        ('[a]\ncron = 3\njob = "j"\n', "[a]: Expected `str`, got `int`, in `cron`"),
        ("".join(f"[s{n}]\n" for n in range(SCHEDULES + 1)), "it has more than"),
        ('["a b"]\ncron = "0 3 * * *"\njob = "j"\n', "'a b' is no name of a schedule"),
        ('[a]\ncron = "0 3 * * *"\njob = "j"\nargs = "\'"\n', "[a]: "),
        ('[a]\ncron = "0 3 * * *"\njob = "j"\nargs = ["%s"]\n' % ("x" * 5_000), "take 5,000 bytes"),
        ("\xff", "utf-8"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    path = tmp_path / "schedules.toml"
    path.write_text(text, "latin-1")
    with pytest.raises(RefusedError) as caught:
        read_file(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.timeout(20)
def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is no regular file"):
        look_at(tmp_path / "pipe")
    with pytest.raises(IsADirectoryError):
        look_at(tmp_path)
