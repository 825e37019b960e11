"""Tiny wheels in a folder, so that tests make environments without an index."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path


def make_wheel(
    folder: Path, name: str, version: str, source: str = "", needs: Sequence[str] = ()
) -> Path:
    """Write the wheel of a package with one module of its name.

    source: of the module, besides its `__version__`. needs: the requirements of the package.
    """
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"]
    metadata += [f"Requires-Dist: {need}\n" for need in needs]
    kind = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files = {
        f"{name}.py": f"__version__ = {version!r}\n{source}",
        f"{info}/METADATA": "".join(metadata),
        f"{info}/WHEEL": kind,
    }
    record = "".join(f"{one},,\n" for one in [*files, f"{info}/RECORD"])
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for one, text in (files | {f"{info}/RECORD": record}).items():
            wheel.writestr(one, text)
    return path


def offline(folder: Path) -> dict[str, str]:
    """The variables by which uv finds these wheels and asks no index."""
    return {"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(folder)}


def block(*dependencies: str, python: str = "") -> str:
    """The lines of a job's file that ask for packages."""
    lines = [f"# dependencies = {list(dependencies)!r}".replace("'", '"')]
    if python:
        lines.append(f'# requires-python = "{python}"')
    return "\n".join(["# /// script", *lines, "# ///", ""])
