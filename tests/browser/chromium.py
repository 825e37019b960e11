"""Which browser the tests start, and how. scripts/browser.sh installs it."""

from __future__ import annotations

import os
import shutil

_NAMES = ("chromium", "chromium-browser", "google-chrome")
"""The same as in scripts/browser.sh, in the same order."""

ARGUMENTS = (
    "--no-sandbox",  # root has none, and the pages are our own
    "--disable-dev-shm-usage",  # a container has 64 MiB there
    # No name has an address, so a page that the tests do not watch reaches nobody either.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)


def find() -> str:
    """The path of the browser.

    Raises:
        FileNotFoundError: this machine has none. One line, which says how to get it.
    """
    named = os.environ.get("CHROMIUM")
    for name in (named,) if named else _NAMES:
        path = shutil.which(name)
        if path:
            return path
    raise FileNotFoundError(
        f"this machine has no {named or 'Chromium'}: `make test-browser` installs Chromium for root"
        " on Debian, and CHROMIUM=/path/of/it names another one"
    )
