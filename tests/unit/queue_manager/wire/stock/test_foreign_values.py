"""Values of other libraries from stock clients: taken as plain data, or refused in words."""

from __future__ import annotations

import datetime
import pickle
import zoneinfo
from typing import Any

import pytest

from queue_manager import codec
from queue_manager.errors import NotPlainDataError, ProtocolError
from queue_manager.wire.stock import pickles
from queue_manager.wire.stock.opcodes import SERVED_ITEM

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
NOON = datetime.datetime(2026, 7, 1, 12, tzinfo=BERLIN)

# Recorded from Pythons 3.9 to 3.13, which write the same; and from 3.11 with protocol 2.
RECORDED = [
    b"\x80\x04\x95\x7f\x00\x00\x00\x00\x00\x00\x00\x8c\x08datetime\x94\x8c\x08datetime\x94\x93\x94C\n"
    b"\x07\xea\x07\x01\x0c\x00\x00\x00\x00\x00\x94\x8c\x08builtins\x94\x8c\x07getattr\x94\x93\x94\x8c\x08"
    b"zoneinfo\x94\x8c\x08ZoneInfo\x94\x93\x94\x8c\t_unpickle\x94\x86\x94R\x94\x8c\rEurope/Berlin\x94K\x01"
    b"\x86\x94R\x94\x86\x94R\x94.",
    b"\x80\x02cdatetime\ndatetime\nq\x00c_codecs\nencode\nq\x01X\x0b\x00\x00\x00\x07\xc3\xaa\x07\x01\x0c"
    b"\x00\x00\x00\x00\x00q\x02X\x06\x00\x00\x00latin1q\x03\x86q\x04Rq\x05c__builtin__\ngetattr\nq\x06"
    b"czoneinfo\nZoneInfo\nq\x07X\t\x00\x00\x00_unpickleq\x08\x86q\tRq\nX\r\x00\x00\x00Europe/Berlinq\x0b"
    b"K\x01\x86q\x0cRq\r\x86q\x0eRq\x0f.",
]


@pytest.mark.parametrize("data", RECORDED, ids=["protocol 4", "protocol 2"])
def test_a_datetime_with_a_zone_goes_through_the_master_and_comes_back(data: bytes) -> None:
    item = codec.encode(pickles.loads(data))
    for found in (
        codec.decode(item),  # in a slot, a runner, a command
        pickle.loads(pickles.dumps(codec.decode(item, SERVED_ITEM))),  # at a stock client
        pickles.loads_reply(pickles.dumps(codec.decode(item, SERVED_ITEM))),  # at one of ours
    ):
        assert found == NOON
        assert found.tzinfo is BERLIN
        assert found.utcoffset() == datetime.timedelta(hours=2)
    assert codec.decode(codec.encode([NOON])) == [NOON]


def test_a_datetime_with_a_zone_as_a_key_is_refused_in_words() -> None:
    """In the master two of them that differ could be one."""
    with pytest.raises(NotPlainDataError, match=r"send it in UTC"):
        pickles.loads(pickle.dumps({NOON: 1}, 4))
    assert codec.decode(codec.encode({NOON: 1})) == {NOON: 1}
    with pytest.raises(ProtocolError, match=r"send it in UTC"):
        codec.decode(codec.encode({NOON: 1}), SERVED_ITEM)


@pytest.mark.parametrize("key", ["Mars/Olympus", "../../etc/passwd", "Europe", "\x1b[31m", "", 5])
def test_a_zone_that_is_not_there_is_an_error_in_words(key: Any) -> None:
    item = b"\x80\x04cqueue_manager.codec\n_zone\n" + pickle.dumps(key, 4)[2:-1] + b"\x85R."
    with pytest.raises(ProtocolError, match="install tzdata") as caught:
        codec.decode(item)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("of", [b"cdatetime\ndatetime\n", b"czoneinfo\nZoneInfo\n", b"N"])
@pytest.mark.parametrize("name", ["__class__", "__init__", "mro", "_unpickle.__self__"])
def test_getattr_gives_nothing_else(of: bytes, name: str) -> None:
    data = b"\x80\x02cbuiltins\ngetattr\n" + of + pickle.dumps(name, 2)[2:-1] + b"\x86R."
    for load in (pickles.loads, pickles.loads_reply):
        with pytest.raises(NotPlainDataError, match=r"getattr cannot travel"):
            load(data)


# Recorded from numpy 2.4 (1.x has `core` for `_core`).
NUMPY = {
    "float64(1.5)": (
        b"\x80\x04\x95j\x00\x00\x00\x00\x00\x00\x00\x8c\x16numpy._core"
        b".multiarray\x94\x8c\x06scalar\x94\x93\x94\x8c"
        b"\x05numpy\x94\x8c\x05dtype\x94\x93\x94\x8c\x02f8\x94\x89\x88"
        b"\x87\x94R\x94(K\x03\x8c\x01<\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
        b"K\x00t\x94bC\x08\x00\x00\x00\x00\x00\x00\xf8?\x94\x86\x94R\x94."
    ),
    "int32(7)": (
        b"\x80\x04\x95f\x00\x00\x00\x00\x00\x00\x00\x8c\x16numpy._core"
        b".multiarray\x94\x8c\x06scalar\x94\x93\x94\x8c"
        b"\x05numpy\x94\x8c\x05dtype\x94\x93\x94\x8c\x02i4\x94\x89\x88"
        b"\x87\x94R\x94(K\x03\x8c\x01<\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
        b"K\x00t\x94bC\x04\x07\x00\x00\x00\x94\x86\x94R\x94."
    ),
    "arange(3)": (
        b"\x80\x04\x95\xa1\x00\x00\x00\x00\x00\x00\x00\x8c\x16numpy._core"
        b".multiarray\x94\x8c\x0c_reconstru"
        b"ct\x94\x93\x94\x8c\x05numpy\x94\x8c\x07ndarray\x94\x93"
        b"\x94K\x00\x85\x94C\x01b\x94\x87\x94R\x94(K\x01K\x03\x85\x94h\x03\x8c\x05"
        b"dtype\x94\x93\x94\x8c\x02i8\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01"
        b"<\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t\x94b\x89C\x18\x00"
        b"\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x94"
        b"t\x94b."
    ),
    "arange(3), protocol 5": (
        b"\x80\x05\x95\x8c\x00\x00\x00\x00\x00\x00\x00\x8c\x13numpy._core"
        b".numeric\x94\x8c\x0b_frombuffer\x94\x93"
        b"\x94(\x96\x18\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00"
        b"\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x94\x8c\x05numpy\x94\x8c\x05dt"
        b"ype\x94\x93\x94\x8c\x02i8\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01<\x94"
        b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t\x94bK\x03\x85\x94\x8c\x01"
        b"C\x94t\x94R\x94."
    ),
}


@pytest.mark.parametrize("data", NUMPY.values(), ids=NUMPY)
def test_a_value_of_numpy_is_refused_and_told_what_to_send(data: bytes) -> None:
    with pytest.raises(NotPlainDataError, match=r"cannot travel: .*a\.tolist\(\)") as caught:
        pickles.loads(data)
    assert "\n" not in str(caught.value)
    older = data.replace(b"\x16numpy._core.m", b"\x15numpy.core.m")
    older = older[:3] + bytes([data[3] + len(older) - len(data)]) + older[4:]  # its FRAME
    with pytest.raises(NotPlainDataError, match=r"a\.tolist\(\)"):
        pickles.loads(older)


def test_a_job_that_returns_what_only_calls_itself_numpys_is_told_what_to_send() -> None:
    kind = type("float64", (float,), {"__module__": "numpy"})
    for value in (kind(1.5), [kind(1.5)]):
        with pytest.raises(NotPlainDataError, match=r"numpy\.float64 cannot travel: send numpy\."):
            codec.encode(value)
