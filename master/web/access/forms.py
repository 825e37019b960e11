"""Forms of our pages, read and checked."""

from __future__ import annotations

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request

from .cookies import Cookies, Visitor

FIELD = "form_key"
"""The hidden field that only a form of ours has."""

_FIELDS = 1_000


async def form_of(request: Request, cookies: Cookies) -> FormData:
    """The fields of a form, which was made for this visitor.

    Raises HTTPException with one line if it was not.
    """
    visitor: Visitor = request.state.visitor
    form = await request.form(max_files=0, max_fields=_FIELDS)
    shown = form.get(FIELD, "")
    if visitor.proof and not (isinstance(shown, str) and cookies.is_form_field(visitor, shown)):
        raise HTTPException(403, "this form is not of a page of yours: load the page again")
    return form
