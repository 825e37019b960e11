"""The program that submits checks what it collects, whichever queue it drives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.peers import driver, work


class InPlace:
    """A queue that works when it is asked for the result. wrong: what it says instead."""

    def __init__(self, wrong: Any = None) -> None:
        self._wrong = wrong
        self.single = 0

    def one_by_one(self, work: str, payloads: list[Any]) -> list[Any]:
        self.single += len(payloads)
        return [(work, payload) for payload in payloads]

    def collect(self, handles: list[Any]) -> list[Any]:
        return [self._wrong or work.WORK[name](payload) for name, payload in handles]

    def peek(self, handle: Any) -> Any:
        return handle[1][0]

    def close(self) -> None:
        """Nothing runs."""


class InBulk(InPlace):
    def in_bulk(self, work: str, payloads: list[Any]) -> list[Any]:
        return [(work, payload) for payload in payloads]


class Away(InPlace):
    """Its broker is away when it is first asked."""

    asked = 0

    def peek(self, handle: Any) -> Any:
        self.asked += 1
        if self.asked == 1:
            raise ConnectionError("away")
        return super().peek(handle)


@pytest.mark.parametrize("name", ["square", "pause", "sized"])
def test_a_burst_takes_a_time(name: str) -> None:
    took_s = driver.burst(InPlace(), name, 3, False)
    assert took_s is not None
    assert took_s > 0


def test_a_wrong_result_is_no_figure() -> None:
    with pytest.raises(RuntimeError, match="square: wrong results"):
        driver.burst(InPlace(wrong=7), "square", 3, False)
    with pytest.raises(RuntimeError, match="another task's result"):
        driver.trips(InPlace(wrong=7), 1, 1)


def test_a_queue_without_a_bulk_call_has_no_figure_for_it() -> None:
    assert driver.burst(InPlace(), "square", 3, True) is None


def test_a_bulk_call_is_used_in_bulk_alone() -> None:
    client = InBulk()
    assert driver.burst(client, "square", 3, True)
    assert client.single == 0


def test_the_parts_of_a_burst_are_its_submits_and_all_of_it() -> None:
    client = InBulk()
    submit_s, all_s = driver.parts(client, "square", 3)
    assert 0 < submit_s < all_s
    assert client.single == 0
    with pytest.raises(RuntimeError, match="square: wrong results"):
        driver.parts(InBulk(wrong=7), "square", 3)


def test_slow_round_trips_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "PAUSE_S", 0)
    assert len(driver.trips(InPlace(), 5, 60)) == 5
    assert len(driver.trips(InPlace(), 5, 0)) == 1


def test_results_that_come_are_written_also_when_the_broker_was_away(tmp_path: Path) -> None:
    got = tmp_path / "got"
    assert driver.fault(Away(), 3, "notes", str(got)) == 3
    first, *numbers = got.read_text().splitlines()
    assert first == "submitted"
    assert sorted(numbers) == ["0", "1", "2"]


def test_a_payload_of_one_kib_is_that_long() -> None:
    assert {len(text) for text in work.payloads("sized", 3)} == {1024}
    assert len(set(work.results("sized", work.payloads("sized", 3)))) == 3
