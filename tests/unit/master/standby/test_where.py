"""Which store the settings name."""

from __future__ import annotations

from pathlib import Path

import pytest

from master.standby.where import is_shared, this_master
from queue_manager.errors import SettingsError
from queue_manager.settings import load_settings

URL = "postgresql://me:s3cret@127.0.0.1/queue?schema=ours"


def test_without_a_url_the_store_is_a_folder() -> None:
    assert not is_shared(load_settings({"MASTER_STORE": "", "MASTER_STORE_FILE": ""}))


def test_the_url_names_the_store_and_the_master_has_a_name() -> None:
    settings = load_settings(
        {"MASTER_STORE": URL, "MASTER_NAME": "a", "MASTER_ADDRESS": "a.example:5000"}
    )
    me = this_master(settings)
    assert is_shared(settings)
    assert (me.address.schema, me.name, me.told) == ("ours", "a", "a.example:5000")
    assert "s3cret" not in repr(me)


def test_the_file_has_the_url_where_the_variable_is_not_set(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text(f"{URL}\n")
    settings = load_settings({"MASTER_STORE_FILE": str(file)})
    assert this_master(settings).address.schema == "ours"
    both = load_settings({"MASTER_STORE_FILE": str(file), "MASTER_STORE": "postgresql://x/y"})
    assert this_master(both).address.schema == "quartermaster"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"", "the file is empty"),
        (b"\xff", "no text in UTF-8"),
        (b"mysql://me:s3cret@a/b", "expected postgresql://USER"),
    ],
)
def test_a_file_that_has_no_url_is_one_line(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    file = tmp_path / "url"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=f"^MASTER_STORE_FILE={file}: .*{words}") as caught:
        this_master(load_settings({"MASTER_STORE_FILE": str(file)}))
    assert "s3cret" not in str(caught.value)
