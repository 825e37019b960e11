"""What of a Django task travels: its id, its payload, the times of a try that failed."""

from __future__ import annotations

import dataclasses

import pytest

from queue_manager import codec
from queue_manager.django.travelling import TOKEN_CHARS, Payload, TaskId, note, without_note

TOKEN = "aB3" * 7 + "z"
PAYLOAD = Payload("a.b", [1, [2]], {"c": None}, "default", "mail", -3, TOKEN, "2026-11-27T01:02:03")


def test_an_id_is_read_back_and_nothing_else_is_one() -> None:
    whole = TaskId(12, 345, TOKEN)
    assert len(TOKEN) == TOKEN_CHARS
    assert TaskId.parse(str(whole)) == whole
    assert len(str(TaskId(10**18 - 1, 10**18 - 1, TOKEN))) < 64, "as Django documents"
    for wrong in ("", "123", 123, None, f"1-2-{TOKEN}x", f"-1-2-{TOKEN}", f"1-2-{TOKEN}\n"):
        assert TaskId.parse(wrong) is None


def test_a_payload_is_plain_data_and_what_else_is_put_is_none() -> None:
    travelled = codec.decode_batch(codec.encode_batch([PAYLOAD.plain()]))[0]
    assert Payload.read(travelled) == PAYLOAD
    for wrong in (7, {}, {**travelled, "more": 1}, {1: 2}, [*travelled], {**travelled, "args": 5}):
        with pytest.raises(ValueError, match="this is no task of Django's"):
            Payload.read(wrong)
    assert dataclasses.replace(PAYLOAD, run_after="2026-11-28T00:00:00+00:00").plain()["run_after"]


def test_the_times_of_a_failed_try_are_taken_out_of_its_traceback() -> None:
    text = "Traceback\nValueError: a\nb\n"
    quoted = note("2020", "2021") + "\n"
    assert without_note(text) == (text, None, None)
    assert without_note(f"{text}{note('2026', '2027')}\n") == (text, "2026", "2027")
    assert without_note(f"{quoted}{text}{note('2026', '2027')}") == (quoted + text, "2026", "2027")
