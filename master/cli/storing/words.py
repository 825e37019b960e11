"""The command lines of `backup` and `restore`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from queue_manager.errors import SettingsError
from queue_manager.settings import Settings

_BACKUP_EXAMPLES = """\b
Examples:
  qm backup /mnt/other/queue.sqlite3
  ssh HOST qm backup - > queue.sqlite3
  qm backup --follow /mnt/other/copy
  qm backup --follow 'ssh HOST qm restore --follow /srv/copy' --through
"""
_MIGRATE_EXAMPLES = """\b
Examples:
  qm migrate-store data postgresql://queue@db.example.org/queue
  qm migrate-store url-file data --replace
"""
_RESTORE_EXAMPLES = """\b
Examples:
  qm restore /mnt/other/queue.sqlite3
  qm restore /mnt/other/copy
  ssh HOST qm restore - < queue.sqlite3
"""


def _folder(settings: Settings) -> Path:
    """Where the store is. Raises SettingsError: in a database."""
    if settings.master_store is None and settings.master_store_file is None:
        return settings.master_data
    raise SettingsError(
        "MASTER_STORE names a database, which its own tools copy: pg_dump (docs/backup.md)"
    )


def backup_words(settings: Callable[[], Settings]) -> click.Command:
    """The command `backup`. settings: reads them."""

    @click.command(epilog=_BACKUP_EXAMPLES)
    @click.argument("target", metavar="TARGET")
    @click.option("--follow", is_flag=True, help="Copy each commit, until told to stop.")
    @click.option(
        "--through", is_flag=True, help="With --follow: TARGET is a command that keeps the copy."
    )
    def backup(target: str, follow: bool, through: bool) -> int:
        """Copy the store, whose master may run, to TARGET.

        The store is that in MASTER_DATA. TARGET is a file, or -, the standard output. With
        --follow it is a folder, in which the copy is at most a second behind. The key is in no
        copy.
        """
        from .copies import back_up, follow_store

        if through and not follow:
            raise click.UsageError("--through is for --follow")
        folder = _folder(settings())
        if follow:
            if target == "-":
                raise click.UsageError("--follow needs a folder, or a command and --through")
            return follow_store(folder, target, through=through)
        return back_up(folder, target)

    return backup


def restore_words(settings: Callable[[], Settings]) -> click.Command:
    """The command `restore`. settings: reads them."""

    @click.command(epilog=_RESTORE_EXAMPLES)
    @click.argument("source", metavar="SOURCE")
    @click.option(
        "--follow",
        is_flag=True,
        help="Keep a copy of what comes from --through, in the folder SOURCE.",
    )
    def restore(source: str, follow: bool) -> int:
        """Make SOURCE the store of a master at rest.

        The store is that in MASTER_DATA. SOURCE is a file of `qm backup`, a folder of `qm backup
        --follow`, or -, the standard input. The store that was there is kept beside it. SOURCE
        may be the URL of a PostgreSQL database that its own tools have restored: then no number is
        given twice.
        """
        from .copies import put_back, receive_copy
        from .moves import is_database, raised

        if follow:
            if source == "-":
                raise click.UsageError("--follow needs a folder")
            return receive_copy(Path(source))
        if is_database(source):
            return raised(source)
        return put_back(_folder(settings()), source)

    return restore


@click.command("migrate-store", epilog=_MIGRATE_EXAMPLES)
@click.argument("origin", metavar="FROM")
@click.argument("destination", metavar="TO")
@click.option("--replace", is_flag=True, help="Also where TO has a store.")
def migrate_store(origin: str, destination: str, replace: bool) -> int:
    """Copy a store at rest to another engine or place.

    FROM and TO are a folder, a URL of PostgreSQL, or a file that has a URL. TO changes only when
    all of it is there and compared.
    """
    from .moves import migrate

    return migrate(origin, destination, replace=replace)
