"""Which boot of the machine this is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from master.server.clock import boot_number


def test_a_boot_has_a_number_that_a_store_can_keep(tmp_path: Path) -> None:
    path = tmp_path / "boot_id"
    path.write_text("ffffffff-ffff-ffff-ffff-fffffffffff0\n")
    assert boot_number(path) == 2**62 - 1


def test_where_nobody_tells_it_is_unknown(tmp_path: Path) -> None:
    assert boot_number(tmp_path / "none") == 0
    (tmp_path / "odd").write_text("what?")
    assert boot_number(tmp_path / "odd") == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_this_boot_is_the_same_each_time() -> None:
    assert boot_number() == boot_number() != 0
