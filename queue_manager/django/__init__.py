"""A backend of Django's tasks framework (`django.tasks`, Django 6): docs/django.md.

The import is light and needs no Django: the master looks at `django.job`, and has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .backend import QuartermasterBackend

__all__ = ["QuartermasterBackend"]


def __getattr__(name: str) -> Any:
    if name == "QuartermasterBackend":
        from .backend import QuartermasterBackend

        return QuartermasterBackend
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
