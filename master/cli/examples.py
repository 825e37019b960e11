"""The examples in the help of commands that have none of their own."""

from __future__ import annotations

_EXAMPLES = {
    "serve": ("qm serve", "JOB=square JOB_ARGS=count=20 qm serve"),
    "run": ("qm run square count=10", "qm run images start=https://example.org/ pages=100"),
    "submit": ("qm submit square count=20 --wait", "qm submit nightly --key night --after 3"),
    "status": ("qm status", "qm status 3", "qm status --state failed --all"),
    "results": ("qm results 3 > results.jsonl", "qm results night --format csv"),
    "failed": ("qm failed 3", "qm failed night --format jsonl", "qm failed 3 --error KeyError"),
    "show": ("qm show 3 17",),
    "retry": (
        "qm retry 3",
        "qm retry 3 17 18 --reason 'the file is there now'",
        "qm retry 3 --error ValueError@lines.py:12 --since 2026-05-04T12:00",
    ),
    "cancel": ("qm cancel night",),
    "jobs": ("qm jobs", "qm jobs images"),
    "check": ("qm check square", "qm check images start=https://example.org/"),
    "forget": ("qm forget 3",),
    "dashboard": ("qm dashboard", "qm dashboard --read"),
}


def epilog_of(command: str) -> str | None:
    """What stands below the help of a command; None: nothing."""
    lines = _EXAMPLES.get(command)
    return None if lines is None else "\n".join(["\b\nExamples:", *(f"  {x}" for x in lines)])
