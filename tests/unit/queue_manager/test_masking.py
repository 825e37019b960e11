"""Addresses without what only their owner should know."""

from __future__ import annotations

import time

import pytest

from queue_manager.masking import masked


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://me:secret@host:8080/simple", "https://***@host:8080/simple"),
        ("https://token@host/simple", "https://***@host/simple"),
        ("'http://me:se/cr@et@host/simple'", "'http://***@host/simple'"),
        ("(https://host/a?token=b&c=d)", "(https://host/a?***)"),
        ("`https://host/a?b` is", "`https://host/a?***` is"),
        ("https://host/a?b=c, https://x@host.", "https://host/a?***, https://***@host."),
        ("https://host:8080/simple?mail=a@b", "https://***@b"),
        ("git+https://host/a/b@v1#egg=c", "git+https://host/a/b@v1#egg=c"),
        ("is it? a@b: c://d", "is it? a@b: c://d"),
    ],
)
def test_users_passwords_and_queries_are_masked(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize(
    "text", ["http://x?" + "." * 200_000 + "x", "a://" * 50_000, "a://b" + "@" * 200_000 + " "]
)
def test_a_text_of_any_length_is_masked_in_one_pass(text: str) -> None:
    began = time.process_time()
    masked(text)
    assert time.process_time() - began < 5.0  # some milliseconds; a second look at each end: hours
