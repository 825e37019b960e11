"""The settings, which are read from the environment here alone, at start.

This module owns the names, defaults and limits of every variable. An empty variable counts as
unset. This module knows nothing of what the values are used for.
"""

from __future__ import annotations

import math
import os
import re
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from .addresses import Address, parse
from .errors import SettingsError
from .health import default_path
from .job.tags import CHARACTERS, split_tags
from .names import QueueName, parse_names
from .terminal import is_text

_Port = Annotated[int, Meta(ge=0, le=65_535)]
_Bytes = Annotated[int, Meta(ge=1, le=7 * 1024 * 1024)]  # a value must fit in a frame of 8 MiB
_Slots = Annotated[int, Meta(ge=1, le=4_096)]
_Seconds = Annotated[float, Meta(ge=0, le=86_400 * 365)]
_Days = Annotated[float, Meta(ge=0, le=365_000)]

_EXPECTED = {
    "queue_host": "HOST or HOST:PORT, with commas between several, such as a,b:5001,[::1]:5000",
    "queue_port": "a port, 0 to 65535",
    "queue_allow_weak_authkey": "1 or 0",
    "queue_tls": "auto, required or off",
    "queue_max_bytes": "a number of bytes, 1 to 7340032",
    "queue_names": "task:NAME or result:NAME, with commas between them",
    "queue_stock_ack": "put or next",
    "queue_uploads": "auto, 1 or 0",
    "queue_log": "text or json",
    "worker_slots": "a whole number, 1 to 4096",
    "worker_jobs": "master or local",
    "worker_drain_s": "a number of seconds, 0 or more",
    "worker_tags": f"tags with commas between them, each of {CHARACTERS}",
    "queue_keep_days": "a number of days, 0 or more",
    "master_http_port": "a port, 0 to 65535, or off",
    "http_plain": "1 or 0",
    "http_hosts": "names of hosts with commas between them",
}


def _health_file() -> Path:
    return Path(default_path())


def _environments() -> Path:
    """The folder of environments, if none is set: in the user's cache (XDG base directories)."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(cache) / "quartermaster" / "environments"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the environment says. Each attribute is the variable with its name in capitals.

    queue_host_set: QUEUE_HOST is set, so no command starts a master of its own.
    queue_port_set: QUEUE_PORT is set, so no other port may be taken in its place.
    queue_publish_known: QUEUE_PUBLISH is there, perhaps empty. So this is a container, and
        QUEUE_PUBLISH says who reaches it from outside its own network.
    queue_tls_set: QUEUE_TLS is set.
    master_store: the URL of a database that masters share; master_store_file: a file with it.
    master_name, master_address: what other masters and people are told of this one.
    queue_environments: the folder of environments of jobs; None: QUEUE_ENVIRONMENTS is `off`.
    master_http_port: the port of the pages; None: MASTER_HTTP_PORT is `off`.
    master_http_port_set: it is set, so no other port may be taken in its place.
    http_publish: HTTP_PUBLISH, as QUEUE_PUBLISH is for the queue. http_publish_known: it is there,
        perhaps empty.
    """

    queue_host: str = "127.0.0.1"
    queue_host_set: bool = False
    queue_bind: str = "127.0.0.1"
    queue_port: _Port = 5000
    queue_port_set: bool = False
    queue_publish: str | None = None
    queue_publish_known: bool = False
    queue_authkey: str | None = None
    queue_authkey_file: Path | None = None
    queue_allow_weak_authkey: bool = False
    queue_tls: Literal["auto", "required", "off"] = "auto"
    queue_tls_set: bool = False
    queue_max_bytes: _Bytes = 1024 * 1024
    queue_names: dict[str, QueueName] = msgspec.field(default_factory=dict)
    queue_stock_ack: Literal["put", "next"] = "put"
    queue_uploads: Literal["auto", "1", "0"] = "auto"
    queue_log: Literal["text", "json"] = "text"
    job: str | None = None
    job_args: str = ""
    jobs_folder: Path = Path("jobs")
    master_data: Path = Path("data")
    master_store: str | None = None
    master_store_file: Path | None = None
    master_name: str = msgspec.field(default_factory=socket.gethostname)
    master_address: str = ""
    worker_slots: _Slots = msgspec.field(default_factory=lambda: usable_cpus())
    worker_drain_s: _Seconds = 8.0
    worker_jobs: Literal["master", "local"] = "master"
    worker_name: str = ""
    worker_tags: frozenset[str] = frozenset()
    queue_keep_days: _Days = 30.0
    queue_environments: Path | None = msgspec.field(default_factory=lambda: _environments())
    health_file: Path = msgspec.field(default_factory=_health_file)
    master_http_port: _Port | None = 8080
    master_http_port_set: bool = False
    http_bind: str = "127.0.0.1"
    http_publish: str | None = None
    http_publish_known: bool = False
    http_tls_cert: Path | None = None
    http_tls_key: Path | None = None
    http_plain: bool = False
    http_hosts: frozenset[str] = frozenset()
    http_files: Path = Path("/shared")

    @property
    def masters(self) -> tuple[Address, ...]:
        """Where the active master may be: QUEUE_HOST, with QUEUE_PORT where it has no port."""
        return parse(self.queue_host, self.queue_port)


_GIVEN = {"queue_host_set", "queue_port_set", "queue_publish_known", "queue_tls_set"} | {
    "master_http_port_set",
    "http_publish_known",
}
_MAY_BE_OFF = {"queue_environments", "master_http_port"}
_FIELDS = {f.name: f for f in msgspec.structs.fields(Settings) if f.name not in _GIVEN}

VARIABLES = frozenset(name.upper() for name in _FIELDS)
"""The variables that are settings. All others of an environment are the user's."""


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings from an environment.

    Raises:
        SettingsError: a value is wrong. Its one line names the variable; exit with 2.
    """
    given: dict[str, Any] = {}
    for name, field in _FIELDS.items():
        text = environ.get(name.upper(), "")
        if text:
            given[name] = _value(name, text, field.type)
    return Settings(
        **given,
        queue_host_set="queue_host" in given,
        queue_port_set="queue_port" in given,
        queue_publish_known="QUEUE_PUBLISH" in environ,
        queue_tls_set="queue_tls" in given,
        master_http_port_set="master_http_port" in given,
        http_publish_known="HTTP_PUBLISH" in environ,
    )


def log_format(environ: Mapping[str, str] = os.environ) -> str:
    """QUEUE_LOG alone: the log begins before the settings are read, and before they are checked."""
    return environ.get("QUEUE_LOG", "").strip() or "text"


def trace_parent(environ: Mapping[str, str] = os.environ) -> str:
    """TRACEPARENT of this process, which is no setting of ours. Whoever asks for a run looks."""
    return environ.get("TRACEPARENT", "").strip()


def is_loopback(host: str) -> bool:
    """Whether only this machine itself reaches an address.

    host: an address in numbers, with or without brackets and scope, also IPv4 within IPv6. Or a
        name: then all addresses that it resolves to have to be loopback.
    """
    import ipaddress  # late, as `tempfile`

    bare = host.strip("[]").partition("%")[0]
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        addresses = _addresses(bare)
        return bool(addresses) and all(map(is_loopback, addresses))
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _addresses(name: str) -> set[str]:
    if not name:  # it means all addresses of this machine
        return set()
    try:
        return {str(entry[4][0]) for entry in socket.getaddrinfo(name, None)}
    except (OSError, UnicodeError):
        return set()


def publish_host(settings: Settings) -> str | None:
    """The address in QUEUE_PUBLISH (`ADDRESS:PORT`); None if it is unset.

    A port alone is published on every address, which is `0.0.0.0`.
    """
    if settings.queue_publish is None:
        return None
    return settings.queue_publish.rpartition(":")[0] or "0.0.0.0"


def others_reach(settings: Settings) -> bool:
    """Whether other machines reach the master: by QUEUE_PUBLISH, or QUEUE_BIND outside compose."""
    host = publish_host(settings)
    if host is not None and not is_loopback(host):
        return True
    return not (is_loopback(settings.queue_bind) or settings.queue_publish_known)


def pages_reached_by(settings: Settings) -> str:
    """The setting by which other machines reach the pages; empty if none do.

    As `others_reach`: by HTTP_PUBLISH, or by HTTP_BIND outside compose.
    """
    published = settings.http_publish
    if published is not None and not is_loopback(published.rpartition(":")[0]):
        return f"HTTP_PUBLISH={published}"
    if is_loopback(settings.http_bind) or settings.http_publish_known:
        return ""
    return f"HTTP_BIND={settings.http_bind}"


def reached_by(settings: Settings) -> str:
    """The setting by which other machines reach the master, as an error names it."""
    if settings.queue_publish is not None:
        return f"QUEUE_PUBLISH={settings.queue_publish}"
    return f"QUEUE_BIND={settings.queue_bind}"


def _host_names(text: str) -> frozenset[str]:
    """Names as a Host header has them. Raises ValueError for what is none."""
    names = frozenset(name.strip().lower().rstrip(".") for name in text.split(","))
    if not all(map(_HOST_NAME.fullmatch, names)):
        raise ValueError
    return names


_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")
_SPLIT: dict[str, Callable[[str], object]] = {
    "worker_tags": split_tags,
    "queue_names": parse_names,
    "http_hosts": _host_names,
}


def _value(name: str, text: str, kind: Any) -> Any:
    if name in _MAY_BE_OFF and text.strip() == "off":
        return None
    if kind is Path or kind == Path | None:
        return Path(text)
    if kind is str or kind == str | None:  # without msgspec, which reads "null" as None
        if name != "queue_authkey" and not is_text(text):
            raise SettingsError(f"{name.upper()}={text!r}: expected a text in UTF-8")
        if name == "queue_host" and not _are_addresses(text):
            raise _wrong(name, text)
        return text
    split = _SPLIT.get(name)
    if split is not None:
        try:
            return split(text)
        except ValueError:
            raise _wrong(name, text) from None
    plain = text.strip() if name in _EXPECTED else text
    try:
        value = msgspec.convert(plain, kind, strict=False)
    except msgspec.ValidationError:
        raise _wrong(name, text) from None
    if isinstance(value, float) and not math.isfinite(value):
        raise _wrong(name, text)
    return value


def _are_addresses(text: str) -> bool:
    try:
        return bool(parse(text, 1))
    except ValueError:
        return False


def _wrong(name: str, text: str) -> SettingsError:
    return SettingsError(f"{name.upper()}={text!r}: expected {_EXPECTED.get(name, 'a text')}")


# --- the CPUs that this process may use -----------------------------------------------------


def usable_cpus(root: Path = Path("/")) -> int:
    """How many CPUs this process may use, by affinity and by quotas of control groups (v2 and v1).

    The result is at least 1.

    Source: Linux, Documentation/admin-guide/cgroup-v2.rst and scheduler/sched-bwc.rst.
    """
    try:
        cpus = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        cpus = os.cpu_count() or 1
    quotas = [q for folder in _cgroups(root) if (q := _quota(folder)) is not None]
    return max(1, min([cpus, *(math.ceil(q) for q in quotas)]))


def _cgroups(root: Path) -> list[Path]:
    """The folders of this process's control groups and of all groups above them."""
    top = root / "sys/fs/cgroup"
    folders = [top, top / "cpu", top / "cpu,cpuacct"]
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return folders
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = top / controllers if controllers else top
        here = base / path.lstrip("/")
        folders += [f for f in (here, *here.parents) if f.is_relative_to(base)]
    return folders


def _quota(folder: Path) -> float | None:
    """How many CPUs a control group may use; None is no limit."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        cpus = float(quota) / float(period)
    except (OSError, ValueError, ZeroDivisionError):  # "max" is no number: no limit
        return None
    return cpus if cpus > 0 else None
