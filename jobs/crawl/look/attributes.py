"""Values of attributes that hold more than one address: `srcset`, and the content of a refresh."""

from __future__ import annotations

import re

MOST_CANDIDATES = 1000
"""Addresses of one `srcset`."""

LONGEST_REFRESH = 8192
"""Characters of a refresh that are looked at."""


def refreshed(content: str) -> tuple[float, str] | None:
    """Seconds and address of a refresh (HTML Living Standard, "shared declarative refresh steps").

    None if the content is no refresh, or one of the page itself.
    """
    found = _REFRESH.match(content[:LONGEST_REFRESH])
    if found is None or (found[1] == "" and found[2] == ""):
        return None
    text = found[3] or ""
    if text[:1] in ("'", '"'):
        text = text[1:].partition(text[0])[0]
    return (float(found[1][:9] or 0), text.strip()) if text.strip() else None


_REFRESH = re.compile(
    r"\s*([0-9]*)(\.?)[0-9.]*(?:(?:\s*[;,]\s*|\s+)(?:url\s*=\s*)?(.*))?$", re.I | re.S | re.A
)


def candidates(srcset: str | None) -> list[str]:
    """The addresses of a `srcset` (HTML Living Standard, 4.8.4.2.2, "parse a srcset attribute").

    An address ends at white space. Commas at its end do not belong to it, commas inside it do.
    """
    found: list[str] = []
    text, place = srcset or "", 0
    while len(found) < MOST_CANDIDATES and (address := _CANDIDATE.match(text, place)) is not None:
        place = address.end()
        found.append(address[1].rstrip(","))
        if not address[1].endswith(","):
            place = _behind_descriptors(text, place)
    return found


_CANDIDATE = re.compile("[ \t\n\f\r,]*([^ \t\n\f\r,][^ \t\n\f\r]*)")


def _behind_descriptors(text: str, place: int) -> int:
    depth = 0
    for at in range(place, len(text)):
        character = text[at]
        if character == "(":
            depth += 1
        elif character == ")":
            depth = max(0, depth - 1)
        elif character == "," and not depth:
            return at + 1
    return len(text)
