"""What a user brings to a host: a copy of the checkout."""

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
