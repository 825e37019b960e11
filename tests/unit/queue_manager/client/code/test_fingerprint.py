"""When code counts as the same: in another process, at another line; and when it does not."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from queue_manager.client.code import fingerprint, pack
from queue_manager.job.files import version_of
from queue_manager.job.uploaded import stamped
from tests.unit.queue_manager.client.code.conftest import REPO

SCRIPT = '''
import dataclasses, enum, functools, json, sys
from queue_manager.client.code import fingerprint, pack

STOP = {"the", "a", "an", "of", "and", "or"}
FAST = {word: len(word) for word in STOP}


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Point:
    x: int = 1
    names: frozenset = frozenset({"x", "y", "z"})

    def moved(self, by):
        """Where it is then."""
        return Point(self.x + by)


def words(text):
    return [word for word in text.split() if word not in STOP and word not in {"is", "was", "be"}]


def moved(n):
    return Point(n).moved(len(FAST)).x


def down(n):
    return 0 if n == 0 else down(n - 1)


def coloured(n):
    return Colour.RED.value * n


def closed(factor):
    def times(n):
        return helped(n) * factor

    def helped(n):
        return times(0) if n else 1

    return times


def scaled(k, n):
    return n * k


packs = [words, moved, down, coloured, closed(3), lambda n: n in STOP, functools.partial(scaled, 3)]
packed = [pack(function).files for function in packs]
print(json.dumps([fingerprint(files) for files in packed]))
print(json.dumps([files[name].hex() for files in packed for name in files if ".pickle" in name]))
'''


def by_value(source: str, name: str = "f") -> Callable[..., Any]:
    """A function of a program."""
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(source, space)
    made: Callable[..., Any] = space[name]
    return made


def marked(source: str) -> str:
    return fingerprint(pack(by_value(source)).files)


def told(folder: Path, text: str, seed: str) -> tuple[list[str], list[str]]:
    """The fingerprints of the script's functions, and their pickles."""
    folder.mkdir()
    (folder / "script.py").write_text(text)
    environ = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(REPO)}
    words = [sys.executable, str(folder / "script.py")]
    out = subprocess.check_output(words, env=environ, text=True, timeout=60)
    marks, pickles = map(json.loads, out.splitlines())
    return marks, pickles


def test_functions_of_a_program_are_the_same_in_another_process_of_another_folder(
    tmp_path: Path,
) -> None:
    one = told(tmp_path / "one", SCRIPT, "1")
    other = told(tmp_path / "other", "# A comment.\n\n\n" + SCRIPT, "2")
    assert one[0] == other[0]
    assert len(set(one[0])) == len(one[0])
    assert all(left != right for left, right in zip(one[1], other[1], strict=True))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("def f(n): return n + 1", "def f(n): return n + 2"),
        ("def f(n): return n + 1", "def f(n): return n - 1"),
        ("def f(n): return n.x", "def f(n): return n.y"),
        ("def f(n, k=1): return n", "def f(n, k=2): return n"),
        ("def f(n): return n in {1, 2}", "def f(n): return n in {1, 3}"),
        ("K = {'a'}\ndef f(n): return n in K", "K = {'b'}\ndef f(n): return n in K"),
        ("K = {'a': 1}\ndef f(n): return K", "K = {'a': 2}\ndef f(n): return K"),
        ("K = [1, 2]\ndef f(n): return K", "K = [2, 1]\ndef f(n): return K"),
        ("K = 1\ndef f(n): return K", "K = True\ndef f(n): return K"),
        ("K = 'a'\ndef f(n): return K", "K = b'a'\ndef f(n): return K"),
        ("from os import dup as g\nf = lambda n: g", "from os import dup2 as g\nf = lambda n: g"),
        ("class C:\n g = lambda s, n: 1\nf = C().g", "class C:\n g = lambda s, n: 2\nf = C().g"),
        ("class C: x = 1\ndef f(n): return C", "class C: x = 2\ndef f(n): return C"),
        ("def g(n): return 1\ndef f(n): return g(n)", "def g(n): return 2\ndef f(n): return g(n)"),
        ("def h(k):\n return lambda n: k\nf = h(1)", "def h(k):\n return lambda n: k\nf = h(2)"),
        ("def f(n):\n return lambda: 1", "def f(n):\n return lambda: 2"),
    ],
)  # fmt: skip
def test_a_function_that_does_something_else_is_another_one(old: str, new: str) -> None:
    assert marked(old) == marked("\n\n" + old)
    assert marked(old) != marked(new)


def test_values_that_are_one_object_or_two_equal_ones_are_the_same() -> None:
    """A module that comes from a .pyc may share constants that the compiled one does not."""
    text = "".join(["a", "b"])
    one = stamped(pickle.dumps([text, text], 5))
    two = stamped(pickle.dumps([text, "".join(["a", "b"])], 5))
    assert one != two
    assert fingerprint({"f.pickle": one}) == fingerprint({"f.pickle": two})


def test_files_without_a_pickle_have_their_version() -> None:
    files = {"f.py": b"def work(n): return n\n"}
    assert fingerprint(files) == version_of(files)
    assert fingerprint({**files, "g.pickle": b""}) != version_of(files)


@pytest.mark.parametrize(
    "data", [b"", b"python3.13", *map(stamped, (b"no pickle", b"\x80\x05.", b"\x80\x05R."))]
)
def test_what_is_no_pickle_counts_as_it_is(data: bytes) -> None:
    assert fingerprint({"f.pickle": data}) == version_of({"f.pickle": data})


def test_a_pickle_that_would_take_long_counts_as_it_is() -> None:
    data = stamped(pickle.dumps(list(range(300_000)), 5))
    assert fingerprint({"f.pickle": data}) == version_of({"f.pickle": data})


def test_a_value_that_is_nested_deeply_does_no_harm() -> None:
    deep: list[Any] = []
    for _ in range(400):
        deep = [deep]
    data = stamped(pickle.dumps(deep, 5))
    assert fingerprint({"f.pickle": data}) == fingerprint({"f.pickle": data})
