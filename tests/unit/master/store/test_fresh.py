"""Fresh keys in memory, and their names."""

from __future__ import annotations

from hashlib import blake2b

from master.store.relational.names import first_bits, hash_key, head_of, names_of
from master.store.sqlite.filter import SLICES
from master.store.sqlite.fresh import FreshKeys


def names(run: int, count: int) -> list[bytes]:
    return names_of(run, [f"key {n}" for n in range(count)])


def put(fresh: FreshKeys, found: list[bytes]) -> None:
    fresh.add(found, first_bits(found))


def test_a_name_is_the_run_and_the_hash_of_the_key() -> None:
    """Files have these hashes: they are as they were."""
    hashed = blake2b("é\ud800".encode("utf-8", "surrogatepass"), digest_size=16).digest()
    assert names_of(7, ["é\ud800"]) == [bytes(7) + b"\x07" + hashed]
    assert hash_key("é\ud800") == hashed


def test_the_bits_of_names_are_in_the_order_of_their_bytes() -> None:
    name = bytes(4) + b"\x01\x02\x03\x04" + b"\x05\x06\x07\x08" + bytes(12)
    assert list(first_bits([name])) == [0x05060708]


def test_a_name_is_found_in_its_run_alone() -> None:
    fresh = FreshKeys()
    put(fresh, names(1, 5_000))
    assert fresh.present(names(1, 6_000)) == set(names(1, 5_000))
    assert fresh.present(names(2, 6_000)) == set()


def test_a_slice_has_its_names_in_order_and_goes_as_a_whole() -> None:
    fresh = FreshKeys()
    put(fresh, names(1, 3_000))
    slices = [fresh.of_slice(number) for number in range(SLICES)]
    assert slices == [sorted(n for n in names(1, 3_000) if n[8] == s) for s in range(SLICES)]
    fresh.drop_slice(9)
    assert (fresh.of_slice(9), fresh.count) == ([], 3_000 - len(slices[9]))
    assert [fresh.of_slice(number) for number in range(10, SLICES)] == slices[10:]


def test_the_names_of_a_run_go_and_the_others_stay() -> None:
    fresh = FreshKeys()
    put(fresh, [*names(1, 500), *names(2, 300), *names(3, 200)])
    fresh.drop_runs({head_of(1), head_of(3)})
    assert fresh.count == 300
    assert fresh.present([*names(1, 500), *names(2, 300)]) == set(names(2, 300))
