"""Languages: English, and those whose translations are in `locale`.

The texts are read at the start, so there is no step of building. The browser says which language
its user reads.
"""

from __future__ import annotations

import gettext
import io
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

FOLDER = Path(__file__).resolve().parents[1] / "locale"
ENGLISH = "en"

_LONGEST = 1_000
"""How many characters of an Accept-Language header are read."""


def catalogs(folder: Path = FOLDER) -> dict[str, gettext.NullTranslations]:
    """The translations by the code of their language."""
    found: dict[str, gettext.NullTranslations] = {ENGLISH: gettext.NullTranslations()}
    for path in sorted(folder.glob("*/messages.po")):
        with path.open("rb") as file:
            catalog = read_po(file, locale=path.parent.name)
        made = io.BytesIO()
        write_mo(made, catalog)
        made.seek(0)
        found[path.parent.name] = gettext.GNUTranslations(made)
    return found


def chosen(header: str, known: set[str]) -> str:
    """The known language that a browser asks for most. header: its Accept-Language (RFC 9110)."""
    wishes: list[tuple[float, int, str]] = []
    for place, wish in enumerate(header[:_LONGEST].split(",")):
        tag, _, weight = wish.partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=")) if weight.strip() else 1.0
        except ValueError:
            continue
        language = tag.strip().lower().partition("-")[0]
        if language in known and quality > 0:
            wishes.append((-quality, place, language))
    return min(wishes)[2] if wishes else ENGLISH
