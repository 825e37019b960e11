"""The documents agree with each other and with the code."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from pathlib import Path

import click
import pytest

from jobs import images, mail
from master.cli.main import commands as qm
from queue_manager import Options, Result, Task
from queue_manager.settings import Settings
from tests.documents import blocks, essence

REPO = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*REPO.glob("README*.md"), *(REPO / "docs").glob("*.md")])


def text_of(name: str) -> str:
    return (REPO / name).read_text("utf-8")


def slug(heading: str) -> str:
    """The anchor that GitHub makes of a heading."""
    words = re.sub(r"[`*]|\[|\]\([^)]*\)", "", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def anchors(path: Path) -> set[str]:
    prose = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return {slug(found) for found in re.findall(r"^#+ (.*)$", prose, re.MULTILINE)}


def test_the_readme_has_at_most_150_lines() -> None:
    assert len(text_of("README.md").splitlines()) <= 150


def test_the_chinese_readme_has_the_commands_the_code_and_the_links_of_the_english_one() -> None:
    assert essence(text_of("README.zh-CN.md")) == essence(text_of("README.md"))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_each_link_of_a_document_leads_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text("utf-8")):
        if re.match(r"https?:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_each_block_of_python_is_python(path: Path) -> None:
    for block in blocks(path.read_text("utf-8")):
        if block.language == "python":
            compile(block.text, f"{path.name}:{block.line}", "exec")


def test_operations_has_every_setting_and_no_other() -> None:
    section = text_of("docs/operations.md").partition("## Settings")[2].partition("\n## ")[0]
    told = re.findall(r"^\| ((?:`[A-Z_]+`,? ?)+)\|", section, re.MULTILINE)
    names = re.findall(r"`([A-Z_]+)`", " ".join(told))
    fields = set(Settings.__struct_fields__)
    fields -= {"queue_host_set", "queue_port_set", "queue_publish_known", "queue_tls_set"}
    fields -= {"master_http_port_set", "http_publish_known"}
    assert sorted(names) == sorted(name.upper() for name in fields)


def test_operations_has_every_command_with_its_options() -> None:
    section = text_of("docs/operations.md").partition("## Commands")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `qm ([\w-]+)(.*?)` \|", section, re.MULTILINE))
    assert rows.keys() == qm.commands.keys()
    for name, command in qm.commands.items():
        given = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
        options = [p.opts[0] for p in given]
        assert [o for o in options if o not in rows[name]] == [], name


def source_texts() -> str:
    """All texts of the programs, without the values that are filled in."""
    texts: list[str] = []
    for package in ("master", "worker", "queue_manager"):
        for path in (REPO / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    texts.append(node.value)
                elif isinstance(node, ast.JoinedStr):
                    parts = (p.value if isinstance(p, ast.Constant) else "{}" for p in node.values)
                    texts.append("".join(map(str, parts)))
    return re.sub(r"%[\d.,]*[sdrf]|\{\}", "", "\n".join(texts))


def told_lines() -> list[str]:
    """The first words of the rows of all tables of operations.md that explain what is printed."""
    text = text_of("docs/operations.md")
    sections = (
        "### Lines that begin with",
        "### Notes behind",
        "### The master's",
        "### The worker",
    )
    rows = []
    for heading in sections:
        section = text.partition(heading)[2].partition("\n#")[0]
        rows += re.findall(r"^\| (`.*?`) \| ", section, re.MULTILINE)
    return [line for row in rows for line in re.findall(r"`([^`]+)`", row)]


SOURCES = source_texts()
JOINTS = r"tasks wait|the tags?\b|Python|killed by"  # two texts of the code meet there
EXAMPLES = r"[ab]\.org|crash\.py line|\bgpu\b|\bbigmem\b|\bSIGSEGV\b|letters"
VALUES = rf"{JOINTS}|{EXAMPLES}|\.\.\.|\b[A-Z]{{2,}}\b|\b[A-Z]\b|[/()',=>\[\]]|-(?!\w)|\S*\d\S*"


@pytest.mark.parametrize("line", told_lines())
def test_a_line_that_operations_explains_is_in_the_code(line: str) -> None:
    """Its longest part without a name or a number."""
    longest = max((part.strip(" :;") for part in re.split(VALUES, line)), key=len)
    assert longest in SOURCES, longest


def table(document: str, heading: str) -> dict[str, str]:
    """The second column of the first table below a heading, by the first one, without backticks."""
    section = text_of(document).partition(f"\n{heading}\n")[2].partition("\n#")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) ?\|", section, re.MULTILINE)
    return {name: default.strip("`") for name, default in rows}


def test_images_has_every_argument_with_its_default() -> None:
    parameters = inspect.signature(images.tasks).parameters
    told = table("docs/images.md", "## Arguments")
    assert list(told) == list(parameters)
    for name, parameter in parameters.items():
        if isinstance(parameter.default, bool | int | float):
            assert float(told[name]) == float(parameter.default), name
    assert told["out"] == parameters["out"].default
    assert told["index"] == parameters["index"].default


def test_mail_has_every_argument_with_its_default() -> None:
    parameters = inspect.signature(mail.tasks).parameters
    told = table("docs/mail.md", "## Arguments")
    assert list(told) == list(parameters)
    for name, parameter in parameters.items():
        default = parameter.default
        if isinstance(default, bool | str):
            assert told[name] == str(default).lower(), name
        else:
            assert float(told[name]) == default, name


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("## Inputs: `tasks`", Task),
        ("## Options", Options),
        ("## Work: `work` and `setup`", Result),
    ],
    ids=["Task", "Options", "Result"],
)
def test_jobs_has_every_field(heading: str, kind: type) -> None:
    told = table("docs/jobs.md", heading)
    assert list(told) == [field.name for field in dataclasses.fields(kind)]


def test_jobs_has_the_defaults_of_the_options() -> None:
    told = table("docs/jobs.md", "## Options")
    for field in dataclasses.fields(Options):
        default = "none" if field.name == "needs" else str(field.default)
        assert told[field.name] == default, field.name


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_each_file_of_the_project_that_a_document_names_is_there(path: Path) -> None:
    tops = "master|worker|queue_manager|jobs/crawl|jobs/mailing|tests|scripts|deploy|bench|docs"
    for name in re.findall(rf"`((?:{tops})/[\w/.-]+\.\w+)`", path.read_text("utf-8")):
        assert (REPO / name).exists(), name


def test_none_of_the_five_changes_needs_more_than_four_files() -> None:
    section = text_of("docs/design.md").partition("## Five changes")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (a .*?|another .*?) \| (.*) \|$", section, re.MULTILINE)
    assert len(rows) == 5
    for change, files in rows:
        for way in files.split("For something that the worker"):  # another way to the same
            named = re.findall(r"`([\w/-]+\.(?:py|yml))`", way)
            assert 1 <= len(named) <= 4, change
