"""The jobs that the master has, of which one can submit a run."""

from __future__ import annotations

from .page import Asked, Page, View


async def load(asked: Asked) -> View:
    """All jobs; of the one that `job=` names, also what it takes."""
    found = await asked.desk.jobs.all()
    name = asked.query.get("job", "")
    return {
        "jobs": found.jobs,
        "more": found.more,
        "job": await asked.desk.jobs.one(name) if name else None,
    }


SUBMIT_PAGE = Page("/submit", "submit", (), load, "Submit")
