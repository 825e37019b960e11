"""Where a program says that the masters are."""

from __future__ import annotations

import pytest

from queue_manager.client.connection.where import settings_for
from queue_manager.errors import SettingsError
from queue_manager.settings import load_settings


def test_a_program_may_name_several_masters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUE_HOST", "x")
    monkeypatch.setenv("QUEUE_PORT", "7000")
    settings, _ = settings_for("a:5000,b,[::1]:5001", "k" * 16)
    assert settings.masters == (("a", 5000), ("b", 7000), ("::1", 5001))
    assert settings_for(None, "k" * 16)[0].masters == (("x", 7000),)


@pytest.mark.parametrize("address", ["", "a:", "a,,b", "a b", "a:0", "http://a:5000", 5000, b"a"])
def test_what_is_no_address_is_one_line(address: object) -> None:
    with pytest.raises(SettingsError, match=r"is no address: it is HOST:PORT, such as") as caught:
        settings_for(address, "k" * 16)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["a,,b", "a:x", "a b", "[::1", "a:65536", "http://a"])
def test_a_wrong_variable_is_one_line_that_says_what_is_expected(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"QUEUE_HOST": text})
    assert str(caught.value) == (
        f"QUEUE_HOST={text!r}: expected HOST or HOST:PORT, with commas between several, such as"
        " a,b:5001,[::1]:5000"
    )
