"""All that a turn asks for, read in a few statements of each kind."""

from __future__ import annotations

import msgspec

from ....reads import ReadAnswer, ReadRequest
from ..database import Database
from .block_states import read_blocks
from .groups import own_groups, read_quotas
from .letters import choose_letters
from .loading import load_runs, load_runs_of_keys

_FILES = msgspec.msgpack.Decoder(dict[str, bytes])


def read(db: Database, request: ReadRequest) -> ReadAnswer:
    """As `Store.read`."""
    return ReadAnswer(
        taken_keys={run: db.taken_keys(run, names) for run, names in request.task_keys.items()},
        groups={run: own_groups(db, run, names) for run, names in request.groups.items()},
        quotas=read_quotas(db, request.quotas),
        blocks=read_blocks(db, request.blocks) if request.blocks else {},
        bodies=dict(db.look_up("bodies", [(block,) for block in request.bodies])),
        runs={run.record.id: run for run in load_runs(db, request.runs)},
        run_keys={run.record.key or "": run for run in load_runs_of_keys(db, request.run_keys)},
        code={
            version: _FILES.decode(files)
            for version, files in db.look_up(
                "code_of_versions", [(version,) for version in request.code]
            )
        },
        letters={sought: choose_letters(db, sought) for sought in request.letters},
    )
