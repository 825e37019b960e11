"""scripts/fetch.sh, with a `docker` and an `ssh` that have a folder for each host's volume."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import signal
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.integration.processes import eventually

REPO = Path(__file__).resolve().parents[2]
CONFIG = """name: quartermaster
services:
  worker:
    volumes:
      - type: volume
        source: key
        target: /key
      - type: volume
        source: shared
        target: /shared
volumes:
  key:
    name: quartermaster_key
  shared:
    name: quartermaster_shared
x-service:
  name: other
"""
# VOLUMES: the folder of the host's volumes. The last word of `run` is a shell's command.
DOCKER = """#!/bin/sh
case "$*" in
    "compose config --images") echo quartermaster-worker:latest ;;
    "compose config") cat "$CONFIG" ;;
    "volume inspect "*) [ -d "$VOLUMES/$3" ] ;;
    "run "*)
        for word in "$@"; do
            case $word in *:/shared:ro) cd "$VOLUMES/${word%:/shared:ro}" || exit 1 ;; esac
        done
        for word in "$@"; do :; done
        exec sh -c "$word" ;;
esac
"""
SSH = """#!/bin/sh
while [ "$1" = -o ]; do shift 2; done
export VOLUMES="$HOSTS_FOLDER/$1"
[ -d "$VOLUMES" ] || { echo "ssh: connect to host $1 port 22: No route to host" >&2; exit 255; }
cd "$VOLUMES" && shift && exec sh -c "$*"
"""
# Breaks off in the middle of what is sent; a list of names is shorter.
BREAKS = """#!/bin/sh
export VOLUMES="$HOSTS_FOLDER/$1"
cd "$VOLUMES" && shift && sh -c "$*" | head -c 300000
"""
# Stops there instead, and is at it for ever.
STOPS = BREAKS + 'case "$*" in *"tar --create"*) exec sleep 60 ;; esac\n'


class Hosts:
    """This host and two more, and a checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkout = folder / "checkout"
        self.shared = self.checkout / "shared"
        (self.checkout / "scripts").mkdir(parents=True)
        shutil.copy(REPO / "scripts" / "fetch.sh", self.checkout / "scripts")
        (folder / "config").write_text(CONFIG)
        for name, text in {"docker": DOCKER, "ssh": SSH, "breaks": BREAKS, "stops": STOPS}.items():
            (folder / "bin").mkdir(exist_ok=True)
            (folder / "bin" / name).write_text(text)
            (folder / "bin" / name).chmod(0o755)
        for host in ("here", "b", "c"):
            self.volume(host).mkdir(parents=True)
            (folder / "hosts" / host / "quartermaster").mkdir()

    def volume(self, host: str) -> Path:
        """Where the files of a host are."""
        return self.folder / "hosts" / host / "quartermaster_shared"

    def write(self, host: str, name: str, content: bytes) -> str:
        """A file in the volume of a host; returns its name."""
        path = self.volume(host) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return name

    def picture(self, host: str, content: bytes) -> str:
        """A file that is named by its content."""
        digest = hashlib.sha256(content).hexdigest()
        return self.write(host, f"images/{digest[:2]}/{digest[2:]}.png", content)

    def start(self, hosts: str = "", **settings: str) -> subprocess.Popen[str]:
        """`HOSTS=... scripts/fetch.sh`, as it begins, in a session of its own."""
        environment = {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "CONFIG": str(self.folder / "config"),
            "VOLUMES": str(self.folder / "hosts" / "here"),
            "HOSTS_FOLDER": str(self.folder / "hosts"),
            "HOSTS": hosts,
        }
        return subprocess.Popen(
            [str(self.checkout / "scripts" / "fetch.sh")], env=environment | settings, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def fetch(self, hosts: str = "", code: int = 0, **settings: str) -> str:
        """What it prints."""
        process = self.start(hosts, **settings)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == code, said
        return said

    def here(self) -> dict[str, bytes]:
        """What is in ./shared."""
        files = (path for path in self.shared.rglob("*") if path.is_file())
        return {str(path.relative_to(self.shared)): path.read_bytes() for path in files}


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path)


def test_the_files_of_all_hosts_are_here_afterwards(hosts: Hosts) -> None:
    names = {hosts.picture(host, host.encode()) for host in ("here", "b", "c")}
    names.add(hosts.write("here", "images/index.jsonl", b"rows"))
    names.add(hosts.write("b", "notes/- odd \\name ü.txt", b"odd"))
    said = hosts.fetch("b c")
    assert hosts.here().keys() == names
    assert "this host: 2 files copied, 0 were here\n" in said
    assert "b: 2 files copied, 0 were here\n" in said


def test_without_hosts_only_this_ones_are(hosts: Hosts) -> None:
    hosts.picture("b", b"b")
    name = hosts.picture("here", b"here")
    hosts.fetch()
    assert hosts.here() == {name: b"here"}


def test_what_is_named_by_its_content_is_copied_once(hosts: Hosts) -> None:
    for host in ("here", "b"):
        hosts.picture(host, b"the same")
    assert "b: 0 files copied, 1 were here\n" in hosts.fetch("b")
    assert "this host: 0 files copied, 1 were here\n" in hosts.fetch("b")


def test_a_file_that_has_changed_is_copied_again(hosts: Hosts) -> None:
    name = hosts.write("b", "report.txt", b"first")
    hosts.fetch("b")
    hosts.write("b", name, b"other")
    hosts.fetch("b")
    assert hosts.here() == {name: b"other"}


def test_of_other_names_this_hosts_file_is_taken_and_the_others_are_named(hosts: Hosts) -> None:
    for host in ("b", "here"):
        hosts.write(host, "images/index.html", host.encode())
    said = hosts.fetch("b")
    assert hosts.here() == {"images/index.html": b"here"}
    assert "b: 1 left there, as an earlier host has a file of that name: images/index.html" in said


def test_what_is_being_written_stays_where_it_is(hosts: Hosts) -> None:
    hosts.write("b", "images/.part/0123", b"half")
    name = hosts.picture("b", b"whole")
    hosts.fetch("b")
    assert hosts.here().keys() == {name}


@pytest.mark.parametrize("half_at", ["here", "b"])
def test_a_picture_that_a_power_cut_has_halved_gives_way_to_a_whole_one(
    hosts: Hosts, half_at: str
) -> None:
    for host in ("here", "b"):
        name = hosts.picture(host, b"all of it")
    hosts.write(half_at, name, b"all")
    hosts.fetch("b")
    assert hosts.here() == {name: b"all of it"}
    hosts.fetch("b")
    assert hosts.here() == {name: b"all of it"}


def _many(hosts: Hosts, host: str, count: int = 1_200) -> dict[str, bytes]:
    contents = [bytes(str(n), "ascii") * 100 for n in range(count)]
    return {hosts.picture(host, content): content for content in contents}


def _all_whole(hosts: Hosts, of: dict[str, bytes]) -> bool:
    """Whether each file that has a name here is one of these, but for those not yet unpacked."""
    found = {n: c for n, c in hosts.here().items() if not n.startswith(".fetch.")}
    return found.items() <= of.items()


def test_one_that_breaks_off_leaves_nothing_half_and_the_next_brings_the_rest(
    hosts: Hosts,
) -> None:
    pictures = _many(hosts, "b")
    said = hosts.fetch("b c", code=1, SSH="breaks")
    assert "fetch: b broke off after 0 of 1200 files" in said
    assert _all_whole(hosts, pictures)
    assert "c: 0 files copied" in said
    hosts.fetch("b c")
    assert hosts.here() == pictures


def test_one_that_is_killed_leaves_nothing_half_and_the_next_brings_the_rest(
    hosts: Hosts,
) -> None:
    pictures = _many(hosts, "b")
    process = hosts.start("b", SSH="stops")
    try:
        eventually(lambda: list(hosts.shared.glob(".fetch.*/tree/*")), 20.0, "some is unpacked")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert _all_whole(hosts, pictures)
    hosts.fetch("b")
    assert hosts.here() == pictures


def test_a_host_that_cannot_be_reached_is_one_line_and_the_others_go_on(hosts: Hosts) -> None:
    name = hosts.picture("c", b"c")
    said = hosts.fetch("away c", code=1)
    away = [line for line in said.splitlines() if "away" in line]
    assert away == [
        "fetch: away can't be reached: ssh: connect to host away port 22: No route to host"
    ]
    assert hosts.here() == {name: b"c"}


def test_a_host_without_the_volume_is_one_line(hosts: Hosts) -> None:
    hosts.volume("b").rmdir()
    said = hosts.fetch("b", code=1)
    assert "fetch: b gives no files: no volume quartermaster_shared there" in said


def test_a_volume_may_be_named_and_needs_no_folder_then(hosts: Hosts) -> None:
    for host in ("here", "b"):
        hosts.volume(host).rename(hosts.volume(host).with_name("stack_shared"))
    (hosts.folder / "hosts" / "b" / "quartermaster").rmdir()
    name = hosts.write("b", "../stack_shared/x", b"x").rpartition("/")[2]
    hosts.fetch("b", FETCH_VOLUME="stack_shared")
    assert hosts.here() == {name: b"x"}


def test_a_network_disk_in_the_place_of_the_volume_is_read(hosts: Hosts) -> None:
    """In the compose file it is a folder of the host; the fake knows it by its path."""
    disk = hosts.folder / "disk"
    disk.mkdir()
    (disk / "x").write_bytes(b"x")
    config = CONFIG.replace("source: shared\n", f"source: {disk}\n")
    (hosts.folder / "config").write_text(config)
    hosts.fetch(VOLUMES="")
    assert hosts.here() == {"x": b"x"}


# A host that answers to the list and to each batch with something of its own.
LIES = """#!/bin/sh
case "$*" in
    *"tar --create"*) cat >/dev/null; cat "$HOSTS_FOLDER/$1.tar" ;;
    *) cat "$HOSTS_FOLDER/$1.list" ;;
esac
"""


def _lies(hosts: Hosts, listed: bytes, *members: tuple[tarfile.TarInfo, bytes]) -> None:
    """Have host b list this, and send this."""
    (hosts.folder / "bin" / "lies").write_text(LIES)
    (hosts.folder / "bin" / "lies").chmod(0o755)
    (hosts.folder / "hosts" / "b.list").write_bytes(listed)
    with tarfile.open(hosts.folder / "hosts" / "b.tar", "w") as archive:
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))


def _member(name: str, content: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for field, value in fields.items():
        setattr(member, field, value)
    return member, content


def test_what_was_not_asked_for_stays_out(hosts: Hosts) -> None:
    """Also where it goes behind the back of the folder that is being unpacked."""
    hosts.write("here", "images/index.html", b"ours")
    _lies(
        hosts, b"1 images/a.png\n",
        _member("images/a.png", b"a"),
        _member("images/index.html", b"theirs"),
        _member("images/.ssh", b"hidden"),
        _member("../escaped", b"x"),
        _member("/tmp/quartermaster-escaped", b"x"),
    )  # fmt: skip
    hosts.fetch("b", SSH="lies", code=1)  # tar itself complains of one name
    files = {name: content for name, content in hosts.here().items() if ".fetch." not in name}
    assert files.items() <= {"images/index.html": b"ours", "images/a.png": b"a"}.items()
    assert files["images/index.html"] == b"ours"
    assert not (hosts.shared.parent / "escaped").exists()
    assert not Path("/tmp/quartermaster-escaped").exists()


def test_no_file_that_was_asked_for_is_taken_with_rights_or_as_a_link(hosts: Hosts) -> None:
    _lies(
        hosts, b"1 a\n1 link\n1 pipe\n1 hard\n",
        _member("a", b"a", mode=0o6777),
        _member("link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        _member("pipe", type=tarfile.FIFOTYPE),
        _member("hard", type=tarfile.LNKTYPE, linkname="a"),
    )  # fmt: skip
    said = hosts.fetch("b", SSH="lies")
    assert hosts.here() == {"a": b"a", "hard": b"a"}
    assert {path.name for path in hosts.shared.iterdir()} == {"a", "hard"}
    assert (hosts.shared / "a").stat().st_mode & 0o7777 == 0o644
    assert "b: 2 files copied, 0 were here" in said
    assert "b: 2 that it listed did not come" in said


def test_a_host_that_sends_without_end_is_cut_off(hosts: Hosts) -> None:
    """Its file was listed with one byte; the limit here is lower than the script's."""
    _lies(hosts, b"1 a\n", _member("a", b"a" * 300_000))
    script = hosts.checkout / "scripts" / "fetch.sh"
    script.write_text(re.sub(r"GROWN_BYTES=\d+", "GROWN_BYTES=100000", script.read_text()))
    said = hosts.fetch("b", SSH="lies", code=1)
    assert "fetch: b broke off after 0 of 1 files" in said
    assert hosts.here() == {}


@pytest.mark.parametrize(
    "name", [b"../a", b"/a", b"a/../b", b".a", b"a/.b", b"a//b", b"a/", b"\x1b[2Ja", b"a\xc2\x9bb"]
)
def test_names_that_lead_elsewhere_or_obey_a_terminal_are_left_there(
    hosts: Hosts, name: bytes
) -> None:
    _lies(hosts, b"1 good .name\n1 " + name + b"\nno size\n", _member("good .name", b"g"))
    said = hosts.fetch("b", SSH="lies", code=1)
    assert hosts.here() == {"good .name": b"g"}
    assert "fetch: b has names that no file here may have" in said
    assert name.decode() not in said
