"""All that a turn asks for, read in a few statements of each kind."""

from __future__ import annotations

import sqlite3

import msgspec

from ....reads import ReadAnswer, ReadRequest
from ..keys import Keys
from ..schema.rows import look_up
from .block_states import read_blocks
from .groups import own_groups, read_quotas
from .letters import choose_letters
from .loading import load_runs, load_runs_of_keys

_CODE = "SELECT version, files FROM code WHERE version IN ({})"
_FILES = msgspec.msgpack.Decoder(dict[str, bytes])
_BODIES = "SELECT id, body FROM blocks WHERE id IN ({})"


def read(db: sqlite3.Connection, keys: Keys, request: ReadRequest) -> ReadAnswer:
    """As `Store.read`."""
    return ReadAnswer(
        taken_keys={run: keys.taken(run, names) for run, names in request.task_keys.items()},
        groups={run: own_groups(db, run, names) for run, names in request.groups.items()},
        quotas=read_quotas(db, request.quotas),
        blocks=read_blocks(db, request.blocks) if request.blocks else {},
        bodies=dict(look_up(db, _BODIES, [(block,) for block in request.bodies])),
        runs={run.record.id: run for run in load_runs(db, request.runs)},
        run_keys={run.record.key or "": run for run in load_runs_of_keys(db, request.run_keys)},
        code={
            version: _FILES.decode(files)
            for version, files in look_up(db, _CODE, [(version,) for version in request.code])
        },
        letters={sought: choose_letters(db, sought) for sought in request.letters},
    )
