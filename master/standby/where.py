"""Which store the settings name: the folder MASTER_DATA, or a database that masters share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queue_manager import __version__
from queue_manager.errors import SettingsError
from queue_manager.settings import Settings

if TYPE_CHECKING:  # psycopg is an extra
    from ..store.postgres.ownership.me import Me


def is_shared(settings: Settings) -> bool:
    """Whether the store is a database that several masters may share."""
    return settings.master_store is not None or settings.master_store_file is not None


def this_master(settings: Settings, authkey: bytes = b"") -> Me:
    """This master, as the others are told of it. Raises SettingsError for a store that can't be."""
    from ..store.postgres.address import parse_address
    from ..store.postgres.ownership.me import Me, mark_of

    url, variable = _url(settings)
    address = parse_address(url, variable)
    mark = mark_of(authkey, address) if authkey else ""
    name, told = settings.master_name, settings.master_address
    return Me(address, name, told, __version__, key_mark=mark)


def _url(settings: Settings) -> tuple[str, str]:
    """The URL, and the variable that it comes from. MASTER_STORE comes before the file."""
    if settings.master_store is not None:
        return settings.master_store, "MASTER_STORE"
    path = settings.master_store_file
    variable = f"MASTER_STORE_FILE={path}"
    assert path is not None  # one of the two is set
    try:
        url = path.read_text("utf-8").strip()
    except OSError as error:
        raise SettingsError(f"{variable}: the file can't be read: {error.strerror}") from error
    except UnicodeError as error:
        raise SettingsError(f"{variable}: the file is no text in UTF-8") from error
    if not url:
        raise SettingsError(f"{variable}: the file is empty: write the URL of the database into it")
    return url, variable
