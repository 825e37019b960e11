"""Says in the program's log that a run with a key has begun with other code than the program's."""

from __future__ import annotations

import logging

from ...errors import RefusedError
from ...job.files import version_of
from ..calls import Start
from ..checking import key_of
from ..connection.session import Session, is_over, run_status

log = logging.getLogger("quartermaster.client")


async def tell_other_code(session: Session, start: Start, key: str | None) -> None:
    """Look at the run with a key before a function is started with that key again.

    What the run has done stays as it is, so its results may be of two functions.

    Raises ArgumentError for a key that is no text.
    """
    key = key_of(key)
    code = None if key is None else start(0).code
    if key is None or code is None:
        return
    try:
        run = await run_status(session, key)
    except RefusedError:  # there is none
        return
    if not (run.uploaded and run.done) or run.version == version_of(code):
        return
    stays = f"run {run.run} ({run.job}) began with other code, and its {run.done:,} results stay"
    if is_over(run):
        log.warning("%s: take another key for new ones, or forget the run", stays)
    else:
        log.warning("%s: only what is left runs the code of now", stays)
