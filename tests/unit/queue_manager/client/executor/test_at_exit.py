"""What becomes of the calls of executors when their program ends."""

from __future__ import annotations

import pytest

from queue_manager.client.executor import at_exit


class Interrupted:
    """The calls of an executor. Somebody presses Ctrl-C while the program waits for them."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def end(self, cancel: bool) -> None:
        self.asked.append(f"end {cancel}")

    def join(self) -> None:
        self.asked.append("join")
        raise KeyboardInterrupt

    def leave(self) -> None:
        self.asked.append("leave")


def test_ctrl_c_while_a_program_waits_for_its_calls_cancels_them_with_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls = Interrupted()
    monkeypatch.setattr(at_exit, "cores", {calls})
    monkeypatch.setattr(at_exit, "_over", False)
    at_exit._finish()
    assert calls.asked == ["end False", "join", "leave"]
    assert caplog.messages == ["interrupted: calls that have no result are cancelled"]
