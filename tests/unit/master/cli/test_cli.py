"""What is wrong with a command line is one line, and exit code 2."""

from __future__ import annotations

import sys

import pytest

from master.cli import main


def qm(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["qm", *words])
    with pytest.raises(SystemExit) as ended:
        main.main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nonsense"], "qm: No such command 'nonsense' (see `qm --help`)"),
        (["results"], "qm: Missing argument 'RUN' (see `qm results --help`)"),
        (["show", "1"], "qm: Missing argument 'TASK' (see `qm show --help`)"),
        (["cancel", ""], "qm: '' is neither the number of a run nor its key (see `qm cancel --he"),
        (["submit", "square", "--after", "x"], "qm: 'x' is no number of a run, such as 1 (see"),
        (["show", "1", str(2**63)], "qm: '9223372036854775808' is no number of a task"),
        (["show", "1", "²"], "qm: '²' is no number of a task"),
        (["failed", "1", "--format", "xml"], "qm: Invalid value for '--format': 'xml' is not"),
        (["cancel", "1", "2"], "qm: Got unexpected extra argument (2) (see `qm cancel --help`)"),
        (["retry", "1", "x"], "qm: 'x' is no number of a task, such as 1 (see `qm retry --help`)"),
        (["retry", "1", "0"], "qm: 0 is no number of a task, such as 1 (see `qm retry --help`)"),
        (["retry", "1", "--error", "a@b"], "qm: 'b' is no place: pass it as FILE:LINE, such as"),
        (["retry", "1", "--error", "@"], "qm: error names nothing: pass EXCEPTION or EXCEPTION@F"),
        (["failed", "1", "--since", "noon"], "qm: 'noon' is no time, such as 2026-05-04T12:00 or"),
        (
            ["failed", "1", "--since", "2026-05-04", "--until", "2026-05-04"],
            "qm: until is not later than since: nothing can have failed between them",
        ),
        (["retry", "1", "--reason", "x" * 1_001], "qm: reason has 1,001 characters, and may have"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    line: str,
) -> None:
    assert qm(monkeypatch, *words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(line), err
    assert err.count("\n") == 1


def test_help_and_version_are_no_errors(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert qm(monkeypatch, "--help") == 0
    out = capsys.readouterr().out
    for command in ("cancel", "failed", "forget", "results", "retry", "run", "serve", "show"):
        assert f"\n  {command} " in out
    assert "..." not in out.partition("Commands:")[2]
    assert qm(monkeypatch, "show", "--help") == 0
    assert qm(monkeypatch, "--version") == 0


@pytest.mark.parametrize("name", sorted(main.commands.commands))
def test_the_help_of_each_command_has_examples(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert qm(monkeypatch, name, "--help") == 0
    help_text = capsys.readouterr().out
    assert any(f"qm {name}" in line for line in help_text.partition("Examples:")[2].splitlines())


def test_no_command_shows_the_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert qm(monkeypatch) == 2
    assert "Commands:" in capsys.readouterr().err


def test_a_wrong_variable_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUEUE_PORT", "many")
    assert qm(monkeypatch, "status") == 2
    assert capsys.readouterr().err.startswith("qm: QUEUE_PORT='many': expected")
