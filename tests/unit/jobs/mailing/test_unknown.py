"""Which ways there are to send a message again whose fate is unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobs import mail
from jobs.mailing.keep.ledger import Ledger
from jobs.mailing.send import sending
from queue_manager import CurrentTask, Reject, Result


def payload(folder: Path, **changed: Any) -> dict[str, Any]:
    (folder / "list.csv").write_text("email\nann@example.org\n")
    given = {
        "campaign": "c",
        "text": "Hello",
        "sender": "news@example.org",
        "out": str(folder / "c"),
    }
    (task,) = mail.tasks(recipients=mail.Readable(folder / "list.csv"), **given, **changed)
    found: dict[str, Any] = task.payload
    return found


def test_a_run_of_those_alone_with_duplicates_allowed_sends_to_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again: list[str] = []

    def to_server(_: Any, server: Any, message: Any, data: bytes) -> str:
        again.append(message.to.envelope)
        return "250 ok"

    monkeypatch.setattr(sending._Try, "_to_server", to_server)
    monkeypatch.setenv("MAIL_SERVER", "mail.example")
    told = payload(tmp_path)
    ledger = Ledger(str(tmp_path / "c"))
    ledger.begin(sending.letter_of(told).id)
    ledger.tell(sending.letter_of(told).id, "1.1")
    with pytest.raises(Reject, match=r"without a person's word: qm retry 2 1 --reason TEXT$"):
        sending.send(payload(tmp_path), CurrentTask(2, 1, 2))
    assert again == []
    sent = sending.send(payload(tmp_path, duplicates="allow"), CurrentTask(3, 1, 1))
    assert isinstance(sent, Result)
    assert sent.value["id"] == sending.letter_of(told).id  # so the report knows it
    assert again == ["ann@example.org"]
