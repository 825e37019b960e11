"""Scripts behind `make`: what they print without a master, and where uv finds packages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
# A container of the state STATE, in which nothing can be run; none where that is empty.
DOCKER = """#!/bin/sh
case "$1 $2" in
    "compose ps") [ -z "$STATE" ] || echo 0123456789ab ;;
    inspect*) echo "$STATE" ;;
    *) exit 137 ;;
esac
"""


@pytest.mark.parametrize("script", ["client", "join", "key"])
@pytest.mark.parametrize(
    ("state", "line"),
    [
        ("", "no master is running in containers here: "),
        ("exited", "no master is running in containers here: "),
        ("restarting", "the master ends as soon as it has started: docker compose logs master"),
    ],
)
def test_a_script_says_in_one_line_that_no_master_stays_up(
    tmp_path: Path, script: str, state: str, line: str
) -> None:
    docker = tmp_path / "docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "STATE": state}
    done = subprocess.run(
        [REPO / "scripts" / f"{script}.sh"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"{script}: {line}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("which", "named", "project"),
    [
        ("images", "", "quartermaster-demo"),
        ("images", "ann", "ann-demo"),
        ("logs", "ann", "ann-demo-logs"),
        ("mail", "ann", "ann-demo-mail"),
    ],
)
def test_a_demo_has_a_project_of_its_own_beside_that_of_the_user(
    tmp_path: Path, which: str, named: str, project: str
) -> None:
    """It removes the project's volumes at its end, so that of the user's queue would be lost."""
    for folder in ("scripts", "jobs", "deploy/demo", ".cache", "bin"):
        (tmp_path / folder).mkdir(parents=True)
    for script in ("demo.sh", "build-settings.sh"):
        shutil.copy(REPO / "scripts" / script, tmp_path / "scripts")
    docker = tmp_path / "bin/docker"
    docker.write_text(f'#!/bin/sh\necho "$COMPOSE_PROJECT_NAME $2" >> {tmp_path}/calls\nexit 1\n')
    docker.chmod(0o755)
    environ = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    environ.pop("DEMO_PROJECT", None)
    done = subprocess.run(
        [tmp_path / "scripts/demo.sh", which],
        env={**environ, "COMPOSE_PROJECT_NAME": named},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert "demo: the build failed." in done.stderr
    assert (tmp_path / "calls").read_text() == f"{project} down\n{project} build\n"


def test_without_chromium_one_line_says_how_to_get_it(tmp_path: Path) -> None:
    for name in ("bash", "dirname"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    nobody = tmp_path / "id"
    nobody.write_text("#!/bin/sh\necho 1000\n")
    nobody.chmod(0o755)
    lines = []
    for named in ("", "/nowhere/chromium"):
        done = subprocess.run(
            [REPO / "scripts/browser.sh"], env={"PATH": str(tmp_path), "CHROMIUM": named},
            capture_output=True, text=True, timeout=100,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (1, "")
        lines.append(done.stderr)
    assert lines == [
        "browser: this machine has no Chromium: install it (Debian: apt-get install chromium), or"
        " name it with CHROMIUM=...\n",
        "browser: CHROMIUM=/nowhere/chromium is no program\n",
    ]


PIP_CONFIG = """[global]
index-url = https://mirror.invalid/simple
extra-index-url =
    https://a.invalid/simple
    https://b.invalid/simple
cert = /etc/proxy.pem
[install]
index-url = https://command.invalid/simple
"""


def uv_settings(config: Path, **settings: str) -> dict[str, str]:
    """Return what uv is told on a machine with these settings of pip."""
    unset = ("PIP_", "UV_", "SSL_")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(unset)}
    script = '. scripts/uv-settings.sh; use_pip_settings "$0"; env'
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script, sys.executable],
        cwd=REPO, env=environ | {"PIP_CONFIG_FILE": str(config)} | settings,
        capture_output=True, text=True, check=True, timeout=100,
    )  # fmt: skip
    told = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    return {name: value for name, value in told.items() if name.startswith(("UV_", "SSL_"))}


def test_uv_finds_packages_where_pip_is_told_to(tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text(PIP_CONFIG)
    told = uv_settings(config)
    assert told == {
        "UV_DEFAULT_INDEX": "https://command.invalid/simple",
        "UV_INDEX": "https://a.invalid/simple https://b.invalid/simple",
        "SSL_CERT_FILE": "/etc/proxy.pem",
        "UV_SYSTEM_CERTS": "1",
    }
    variable = uv_settings(config, PIP_INDEX_URL="https://variable.invalid")
    assert variable["UV_DEFAULT_INDEX"] == "https://variable.invalid"


def test_uvs_own_settings_come_before_pips(tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text(PIP_CONFIG)
    own = {"UV_INDEX_URL": "https://own.invalid", "UV_INDEX": "https://more.invalid"}
    told = uv_settings(config, **own)
    assert told.items() >= own.items()
    assert "UV_DEFAULT_INDEX" not in told


def test_pip_installs_uv_itself_by_the_hashes_of_the_lock() -> None:
    """The script's `sed` takes uv out of the lock, and nothing else."""
    script = (REPO / "scripts/venv.sh").read_text()
    (command,) = re.findall(r"sed -n '.*?' requirements-dev\.lock", script)
    lines = subprocess.run(
        ["bash", "-c", command], cwd=REPO, capture_output=True, text=True, check=True
    ).stdout
    assert re.fullmatch(r"uv==\S+( \\\n +--hash=sha256:[0-9a-f]{64})+\n", lines)


@pytest.mark.parametrize("chosen", [False, True])
def test_settings_of_builds_are_exported_and_nothing_is_printed(
    tmp_path: Path, chosen: bool
) -> None:
    """An `export` without a name prints the environment, and with it the authkey."""
    if chosen:
        (tmp_path / ".cache").mkdir()
        (tmp_path / ".cache/base").write_text("chosen\n")
    script = f'. {REPO}/scripts/build-settings.sh; sh -c "echo \\$BASE" >&2'
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path, env={"PATH": os.environ["PATH"], "QUEUE_AUTHKEY": "secret"},
        capture_output=True, text=True, check=True, timeout=100,
    )  # fmt: skip
    assert done.stdout == ""
    assert done.stderr == ("chosen\n" if chosen else "\n")
