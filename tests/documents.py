"""The documents as tests read them: blocks of code, commands and the output that they show."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
import time
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^(\w*)\$ (.*)$")
_SECONDS = re.compile(r"\b\d+(\.\d+)? s\b")
_READS = re.compile(r"\bqm (results|status|failed|show|schedule list)\b")
"""What these commands print may need a moment to be as shown, such as behind a `qm retry`."""

_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Block:
    """A fenced block. language: the word behind the fence. line: where it begins, from 1."""

    language: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The path in the comment `# PATH.py` that is the first line of a file to be saved."""
        found = re.match(r"# ([\w/]+\.(?:py|toml))\n", self.text)
        return found[1] if found else None


@dataclass(frozen=True)
class Command:
    """A command line, and the output below it. host: the letter before the `$`, if any."""

    host: str
    text: str
    output: str


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a Markdown text, in order."""
    return [
        Block(found[1], found[2], text.count("\n", 0, found.start()) + 1)
        for found in _BLOCK.finditer(text)
    ]


def commands(block: Block) -> Iterator[Command]:
    """The commands of a console block.

    A command begins with `$ `, after the letter of a host if it matters which: `A$ `. A backslash
    at the end of a line continues the command. A comment behind two spaces is left out.
    """
    host, text, output = "", "", ""
    for line in block.text.replace("\\\n", "").splitlines():
        found = _COMMAND.match(line)
        if found is None:
            output += f"{line}\n"
            continue
        if text:
            yield Command(host, text, output)
        host, text, output = found[1], re.sub(r"\s{2,}#.*", "", found[2]).strip(), ""
    if text:
        yield Command(host, text, output)


def document_commands(document: Path, heading: str = "") -> list[tuple[str, str]]:
    """The commands of a document's console blocks, in order, as (host's letter, command).

    Args:
        document: A Markdown file.
        heading: Only those of the section with this heading, and of the sections below it.
    """
    text = document.read_text("utf-8")
    if heading:
        text = _section(text, heading)
    consoles = (block for block in blocks(text) if block.language == "console")
    return [(found.host, found.text) for block in consoles for found in commands(block)]


def _section(text: str, heading: str) -> str:
    start = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert start, f"no heading {heading!r}"
    rest = text[start.end() :]
    # A comment in a block of code is no heading.
    bare = _BLOCK.sub(lambda block: " " * len(block[0]), rest)
    end = re.search(rf"^#{{1,{len(start[1])}}} ", bare, re.MULTILINE)
    return rest[: end.start()] if end else rest


def difference(shown: str, got: str) -> str:
    """How output differs from what a document shows; empty when it does not.

    `...` in the document stands for anything, as in a doctest, with the space around it. How many
    seconds something took does not count.
    """
    shown, got = (_SECONDS.sub("0.0 s", text) for text in (shown, got))
    shown = re.sub(r"\s*\.\.\.\s*", "...", shown)
    checker = doctest.OutputChecker()
    if checker.check_output(shown, got, _FLAGS):
        return ""
    return checker.output_difference(doctest.Example("", shown), got, _FLAGS)


CONNECTS = re.compile(r"^server_addr = .*\nm = .*\nm.connect\(\)\n", re.MULTILINE)
"""The three lines of `make client`."""


def essence(text: str) -> list[str]:
    """What a translation of a document keeps: blocks without comments, links, headings by level."""
    code = [_bare(block) for block in blocks(text)]
    prose = _BLOCK.sub("", text)
    links = re.findall(r"\]\((?!README)([^)]*)\)", prose)
    headings = [len(found) for found in re.findall(r"^(#+) ", prose, re.MULTILINE)]
    return [*code, *sorted(set(links)), *map(str, headings)]


def _bare(block: Block) -> str:
    """A block without the comments behind its code; the path that its first line names stays."""
    if block.language != "python":
        return block.text
    first, _, rest = block.text.partition("\n")
    return first + "\n" + re.sub(r"  # .*", "", rest)


@dataclass(frozen=True)
class Reader:
    """Somebody who does what a document says: saves its files, runs its commands, in their order.

    folder: where that happens. placed: how a text of the document is there. elsewhere: commands
    that are not run.
    """

    folder: Path
    environment: dict[str, str]
    placed: Callable[[str], str]
    elsewhere: Container[str]

    def read(self, document: Path) -> int:
        """Do all of it; returns how many commands ran. Each must print what the document shows."""
        ran = 0
        for block in blocks(document.read_text("utf-8")):
            if block.language == "python" or (block.language == "toml" and block.file):
                self._save(block)
            for command in commands(block) if block.language == "console" else ():
                if command.text not in self.elsewhere:
                    self._run(command, f"{document.name}:{block.line}: $ {command.text}")
                    ran += 1
        return ran

    def _save(self, block: Block) -> None:
        if block.file is None:  # it must run as it is
            words = [sys.executable, "-c", self.placed(block.text)]
            subprocess.run(words, check=True, env=self.environment, timeout=200)
        else:
            (self.folder / block.file).write_text(self.placed(block.text), "utf-8")

    def _run(self, command: Command, what: str) -> None:
        deadline = time.monotonic() + (60.0 if _READS.search(command.text) else 0.0)
        while wrong := self._wrong(command):
            assert time.monotonic() < deadline, f"{what}\n{wrong}"
            time.sleep(0.1)

    def _wrong(self, command: Command) -> str:
        done = subprocess.run(
            ["bash", "-c", self.placed(command.text)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment,
            cwd=self.folder,
            timeout=200,
        )
        if command.output:
            return difference(self.placed(command.output), done.stdout)
        return f"exit code {done.returncode}\n{done.stdout}" if done.returncode else ""
