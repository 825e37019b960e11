"""Tags as they are written, and as people read them."""

from __future__ import annotations

import pytest

from queue_manager.errors import RefusedError
from queue_manager.job.tags import as_setting, in_words, is_tag, joined, split_tags


@pytest.mark.parametrize("text", ["gpu", "A100", "cuda-12.4", "_", "null"])
def test_a_tag_is_letters_digits_and_a_few_signs(text: str) -> None:
    assert is_tag(text)


@pytest.mark.parametrize("text", ["", "a b", "a,b", "gpu\n", "größe", "a/b", "\x1b[31m"])
def test_anything_else_is_none(text: str) -> None:
    assert not is_tag(text)


def test_what_is_no_tag_is_refused_among_others() -> None:
    with pytest.raises(ValueError, match="a tag is made of"):
        split_tags("gpu,a/b")


def test_what_is_written_for_people_is_read_back_as_the_same() -> None:
    tags = {"gpu", "bigmem", "ssd"}
    name, _, value = as_setting(tags).partition("=")
    assert (name, split_tags(value)) == ("WORKER_TAGS", tags)


def test_several_tags_are_named_in_order_and_as_needed_together() -> None:
    assert in_words({"gpu"}) == "the tag gpu"
    assert in_words({"gpu", "bigmem"}) == "the tags bigmem and gpu together"
    assert in_words({"gpu", "bigmem", "ssd"}) == "the tags bigmem, gpu and ssd together"


def test_the_tags_of_a_job_and_those_asked_for_are_no_more_than_a_store_reads_back() -> None:
    assert joined(["gpu"], ["fast", "gpu"]) == ["fast", "gpu"]
    own, asked = [f"a{n}" for n in range(200)], [f"b{n}" for n in range(57)]
    with pytest.raises(RefusedError, match="at most 256 tags, and these are 257"):
        joined(own, asked)
