<<<<<<< HEAD
"""What a user brings to a host: a copy of the checkout, and the commands of the documents."""
=======
"""What a user has on a host: a copy of the checkout."""
>>>>>>> ddef374 (Documents by purpose, in plain English; their examples run as tests)

from __future__ import annotations

import shutil
from pathlib import Path

from tests.hosts.host import Host
from tests.hosts.namespaces import run
from tests.integration.processes import REPO

LEFT_OUT = (".git", ".venv", ".cache", ".env", "data", "__pycache__", "*.egg-info", ".*_cache")


def copy_checkout(host: Host) -> Path:
    """Copy the checkout to a folder of a host, readable for the containers' user."""
    folder = host.home / "quartermaster"
    shutil.copytree(REPO, folder, ignore=shutil.ignore_patterns(*LEFT_OUT, ".hypothesis"))
    run(["chmod", "-R", "a+rX", str(folder)])
    return folder
<<<<<<< HEAD


def document_commands(document: Path, heading: str = "") -> list[tuple[str, str]]:
    """Return the command lines of a document's console blocks as (host's letter, command).

    A command line begins with `$ `, or with `A$ ` where only that host will do. After a backslash
    it continues in the next line.

    Args:
        document: A Markdown file.
        heading: Return only the commands of this heading's section and of the sections below it.
    """
    text = document.read_text("utf-8")
    if heading:
        text = _section(text, heading)
    lines = "".join(_BLOCK.findall(text)).replace("\\\n", "").splitlines()
    found = [match for line in lines if (match := _COMMAND.match(line))]
    return [(match[1], match[2].strip()) for match in found]


def _section(text: str, heading: str) -> str:
    start = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert start, f"no heading {heading!r}"
    rest = text[start.end() :]
    # A comment in a block of code looks like a heading.

    bare = _FENCED.sub(lambda block: " " * len(block[0]), rest)
    end = re.search(rf"^#{{1,{len(start[1])}}} ", bare, re.MULTILINE)
    return rest[: end.start()] if end else rest
=======
>>>>>>> ddef374 (Documents by purpose, in plain English; their examples run as tests)
