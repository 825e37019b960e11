"""Fixtures of the crawler's tests: pictures of any type, settings of a crawl."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from jobs.crawl.site import Site

START = "http://site.test/"


@pytest.fixture
def picture() -> Callable[..., bytes]:
    """A picture: `picture("PNG", 4, 3)`; another one for each `shade`."""

    def make(
        form: str = "PNG", width: int = 4, height: int = 3, shade: int = 0, **more: Any
    ) -> bytes:
        body = io.BytesIO()
        Image.new("RGB", (width, height), (shade, 0, 0)).save(body, form, **more)
        return body.getvalue()

    return make


@pytest.fixture
def site(tmp_path: Path) -> Callable[..., Site]:
    """The settings of a crawl of site.test into the test's folder: `site(pages=3)`."""

    def make(**settings: Any) -> Site:
        first = {"start": START, "run": "1", "hosts": ["site.test"], "out": str(tmp_path)}
        return Site(**{**first, **settings})

    return make
