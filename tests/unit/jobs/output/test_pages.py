"""Pages from templates."""

from __future__ import annotations

from pathlib import Path

import jinja2
import pytest

from jobs.output import pages


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A template."""
    text = "{% extends 'layout.html' %}{% block title %}{{ name }}{% endblock %}"
    path = tmp_path / "own.html"
    path.write_text(text)
    return path


def test_a_page_has_the_layout_and_escapes_what_others_wrote(template: Path) -> None:
    text = pages.page(template, {"name": "<script>alert(1)</script>"})
    assert "<title>&lt;script&gt;alert(1)&lt;/script&gt;</title>" in text
    assert "<script" not in text
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri" in text


def test_a_value_that_a_template_misses_is_an_error(template: Path) -> None:
    with pytest.raises(jinja2.UndefinedError):
        pages.page(template, {})
