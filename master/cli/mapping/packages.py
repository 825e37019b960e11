"""The packages that the file of a command names (PEP 723), for the process of the command.

The environment is that of the workers of this host, so it is made once. Its packages come before
our own here. The Python of both is the same, since an environment is made with it.
"""

from __future__ import annotations

import asyncio
import site
import sys
from pathlib import Path

from queue_manager.environments.environments import Environments
from queue_manager.errors import BadJobError, JobError
from queue_manager.job.needs import Needs, needs_of
from queue_manager.settings import Settings

from ...jobs.pythons import environments_of
from ...jobs.sought import Sought
from ..text.printing import tell


class Packages:
    """Makes the packages of a file importable.

    Args:
        file: as it was typed. path: of it.
        settings: say where environments are, and whether another host has workers.

    needed: they are made before the file is imported. With workers elsewhere they are made only if
    the import lacks them: a function that imports them when it runs needs none of them here.
    """

    def __init__(self, file: str, path: Path, settings: Settings) -> None:
        self._file, self._path, self._settings = file, path, settings
        self.needed = not settings.queue_host_set

    def add(self) -> bool:
        """Make the environment if need be, and have its packages found. False: there is none.

        Raises BadJobError with one line: the block is malformed, or nothing can be made of it here.
        """
        try:
            needs = needs_of(self._path.read_bytes())
            folder = self._made(needs) if needs is not None else ""
        except OSError as error:
            raise BadJobError(f"can't read {self._file}: {error.strerror}") from error
        except JobError as error:
            raise BadJobError(f"{self._file}: {error}") from error
        if folder:
            _find_in(folder)
        return bool(folder)

    def _made(self, needs: Needs) -> str:
        environments = environments_of(self._settings)
        found = environments.at_hand(needs, at_once=True)
        if found is not None:
            return found
        tell(f"qm: getting what {self._file} needs: {', '.join(needs.dependencies)}")
        return asyncio.run(_made(environments, needs))


async def _made(environments: Environments, needs: Needs) -> str:
    """In a thread: Ctrl-C ends uv, too."""
    sought = Sought(environments)
    try:
        return await sought.get(needs, at_once=True)
    finally:
        sought.close()


def _find_in(folder: str) -> None:
    """Have the packages of an environment found before our own."""
    before = list(sys.path)
    for packages in sorted(Path(folder).glob("lib/python*/site-packages")):
        site.addsitedir(str(packages))
    sys.path[:] = [one for one in sys.path if one not in before] + before
