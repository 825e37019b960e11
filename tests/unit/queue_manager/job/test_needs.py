"""The block of a job's file that names packages: what is read, what is refused in one line."""

from __future__ import annotations

import platform

import pytest

from queue_manager.errors import BadJobError
from queue_manager.job.needs import Needs, block_of, needs_of

BLOCK = """\
# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "requests<3",  # a comment
#   "rich",
# ]
#
# [tool.uv]
# exclude-newer = "2026-01-01T00:00:00Z"
# ///
"""


def test_a_block_is_read_wherever_it_stands() -> None:
    source = f'"""A job."""\n\n{BLOCK}\nimport rich\n'.encode()
    assert needs_of(source) == Needs(("requests<3", "rich"), ">=3.11")
    assert block_of(source) == BLOCK.rstrip("\n")
    assert needs_of(source.replace(b"\n", b"\r\n")) == needs_of(source)


def test_a_file_without_a_block_asks_for_nothing() -> None:
    assert needs_of(b"def work(n): return n") is None
    assert needs_of(b"# /// other\n# x = 1\n# ///\n") is None
    assert block_of(b"") == ""


def test_the_same_packages_in_another_order_are_the_same() -> None:
    one, two = ('# /// script\n# dependencies = ["a >=1", "b"]\n# ///\n',) * 2
    two = two.replace('"a >=1", "b"', '"b", "a>=1", "quartermaster_queue"')
    assert needs_of(one.encode()) == needs_of(two.encode()) == Needs(("a>=1", "b"))


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("# dependencies = [", "is no TOML"),
        ('# dependencies = "rich"', "dependencies is a list of texts"),
        ("# dependencies = [1]", "dependencies is a list of texts"),
        ('# dependencies = ["two words"]', "dependency 'two words': "),
        ('# requires-python = "3.11 or so"', "requires-python '3.11 or so' is no version"),
        ("# requires-python = 3.11", "requires-python 3.11 is no version"),
        ('# dependancies = ["rich"]', "has 'dependancies', which means nothing"),
    ],
)
def test_a_malformed_block_is_one_line(lines: str, why: str) -> None:
    with pytest.raises(BadJobError) as error:
        needs_of(f"# /// script\n{lines}\n# ///\n".encode())
    assert why in str(error.value)
    assert "\n" not in str(error.value)


def test_a_block_without_an_end_and_two_blocks_are_refused() -> None:
    with pytest.raises(BadJobError, match="has no end"):
        needs_of(b'# /// script\n# dependencies = ["rich"]\nimport rich\n')
    with pytest.raises(BadJobError, match="more than one"):
        needs_of(f"{BLOCK}\n{BLOCK}".encode())


def test_a_python_that_does_not_fit_is_said() -> None:
    assert Needs((), ">=3.11").python_trouble() == Needs().python_trouble() == ""
    said = Needs((), "<3.11").python_trouble()
    assert (
        said == f"it needs Python <3.11 (requires-python), and here is {platform.python_version()}"
    )


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (b"# /// script\n" * 20_000, "more than one block"),
        (b"# /// script\n" + b"# a = 1\n" * 100_000, "no end within 1,000 lines"),
    ],
)
@pytest.mark.timeout(20)
def test_a_hostile_block_holds_nobody_up(source: bytes, says: str) -> None:
    """The master reads it in its loop's process. A regular expression took minutes."""
    with pytest.raises(BadJobError, match=says):
        block_of(source)


def test_a_refused_address_shows_no_token() -> None:
    source = b'# /// script\n# dependencies = ["a b @ https://me:hidden@host/a?t=hidden"]\n# ///\n'
    with pytest.raises(BadJobError, match=r"https://\*\*\*@host") as raised:
        needs_of(source)
    assert "hidden" not in str(raised.value)
