"""Pages of HTML: one layout and one style for all jobs. What others wrote is in them as text only.

A page runs no script, asks nothing of anybody, and is whole in one file: it can be moved, mailed,
and opened years later.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jinja2

from . import words

_HERE = Path(__file__).parent


def page(template: Path, values: Mapping[str, Any], zone: str = "UTC") -> str:
    """A page from a template that extends `layout.html`.

    Args:
        template: its file.
        values: what the template needs. All that is no markup of a template is escaped.
        zone: the zone of the filters `moment` and `span`.
    """
    loader = jinja2.FileSystemLoader([template.parent, _HERE])
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "number": "{:,}".format,
        "size": lambda count: words.size(count).replace(" ", "\xa0"),  # on one line
        "duration": words.duration,
        "counted": words.counted,
        "share": words.share,
        "printable": words.printable,
        "moment": partial(words.moment, zone=zone),
        "span": partial(words.span, zone=zone),
    }
    return environment.get_template(template.name).render(values, now=time.time(), zone=zone)
