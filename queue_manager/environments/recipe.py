"""Which environment a job gets: a hash of what it asks for and of the Python that it is made with.

Knows no files. An environment has the Python of the process that makes it, and sees behind its own
packages what that process sees. So both are part of the hash. The Python counts with its build and
its place: an environment links to it, and its compiled packages fit it alone.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import sys
import sysconfig

from ..job.needs import Needs

_OURS = ("cloudpickle", "msgspec")
"""The libraries that our code in a slot or a runner uses: they read what other processes wrote."""

_INSTALLED = ("site-packages", "dist-packages")


def pins() -> list[str]:
    """Requirements that hold our libraries at the versions of this process, where it has them."""
    found = []
    for name in _OURS:
        try:
            found.append(f"{name}=={importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def shared_folders() -> list[str]:
    """The folders with this process's installed packages, in the order of its search."""
    return [entry for entry in sys.path if entry.endswith(_INSTALLED)]


def python_of_here() -> list[str]:
    """What tells this process's Python from any other: version and build, ABI, platform, place."""
    abi = sysconfig.get_config_var("SOABI") or sys.implementation.cache_tag or ""
    place = os.path.realpath(sys.executable)
    return [sys.version, str(abi), sysconfig.get_platform(), place, sys.prefix]


def hash_of(needs: Needs) -> str:
    """The name of the environment: 32 hex digits of a SHA-256."""
    behind = [*python_of_here(), "", *pins(), "", *shared_folders()]
    said = "\0".join([*needs.dependencies, "", *behind])
    return hashlib.sha256(said.encode("utf-8", "surrogateescape")).hexdigest()[:32]
