"""The headers Cookie and Set-Cookie.

One cookie is cut out of a Cookie header in time that grows with the header's length alone.

`http.cookies` of Pythons before the mend of CVE-2024-7592 needs seconds for 15 KB of backslashes
in quotation marks, and a visitor needs no token to send that. Our values need no quotation marks.
"""

from __future__ import annotations

MOST = 4_096
"""Bytes of a cookie that browsers keep. Ours are shorter, and a longer one is none of ours."""


def set_cookie(name: str, value: str, lasts_s: int, secure: bool = False) -> str:
    """The Set-Cookie header of a cookie of ours. secure: for encrypted connections only."""
    ends = f"Max-Age={lasts_s}; Path=/; HttpOnly; SameSite=Strict"
    return f"{name}={value}; {ends}{'; Secure' * secure}"


def value_of(header: str, name: str) -> str:
    """The value that a Cookie header has for a name: the last one; empty if there is none."""
    for part in reversed(header.split(";")):
        found, _, value = part.strip().partition("=")
        if found == name:
            return value if len(value) <= MOST else ""
    return ""
