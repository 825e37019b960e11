"""The templates, in each language. All that is put into them is escaped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jinja2

from queue_manager.sizes import size_text
from queue_manager.terminal import harmless

from .language import ENGLISH, catalogs, chosen
from .lines import Lines
from .plot import plot
from .words import clock, duration, moment, number

FOLDER = Path(__file__).resolve().parents[1] / "templates"


class Templates:
    """Renders templates. languages: the codes of those that there are."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._environments = {
            language: _environment(folder, catalog, language)
            for language, catalog in catalogs().items()
        }
        self.languages = set(self._environments)

    def language_of(self, header: str) -> str:
        """The language for a browser that sends this Accept-Language header."""
        return chosen(header, self.languages)

    def render(self, name: str, language: str, view: Mapping[str, Any]) -> str:
        """A template with what it shows."""
        template = self._environments[language].get_template(name)
        return template.render(view, language=language)


def _environment(folder: Path, catalog: Any, language: str) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
        auto_reload=False,
    )
    environment.install_gettext_translations(catalog, newstyle=True)  # type: ignore[attr-defined]
    _ = catalog.gettext
    environment.filters |= {
        "number": number,
        "duration": partial(_swapped, duration, _),
        "size": size_text,
        "moment": moment,
        "clock": clock,
        "plot": plot,
        "harmless": harmless,
    }
    environment.filters |= _of_lines(catalog, language)
    return environment


def _of_lines(catalog: Any, language: str) -> dict[str, Callable[[str], str]]:
    """The filters for what the master says: it speaks English."""
    if language == ENGLISH:
        return dict.fromkeys(("said", "failed", "piece"), str)
    lines = Lines(catalog.gettext)
    return {"said": lines.said, "failed": lines.failed, "piece": lines.piece}


def _swapped(function: Any, translate: Any, value: Any) -> str:
    return str(function(value, translate))
