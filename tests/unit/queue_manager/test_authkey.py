"""The authkey: found, made once, and refused where it is too weak."""

import base64
import logging
import os
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from queue_manager.authkey import (
    find_authkey,
    installation_salt,
    master_authkey,
    weakness,
    write_file,
)
from queue_manager.errors import SettingsError
from queue_manager.settings import Settings, load_settings

KEY = "痛点就是起点"
Make = Callable[..., Settings]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def make(**environ: str) -> Settings:
        return load_settings({"MASTER_DATA": str(tmp_path / "data"), **environ})

    return make


def test_a_chinese_key_is_the_same_from_variable_and_file(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n", encoding="utf-8")
    for settings in (make(QUEUE_AUTHKEY=KEY), make(QUEUE_AUTHKEY_FILE=str(path))):
        assert find_authkey(settings) == KEY.encode()
        assert master_authkey(settings) == KEY.encode()


@pytest.mark.parametrize(
    ("content", "key"),
    [(b"secret-key", b"secret-key"), (b"secret-key\n", b"secret-key"),
     (b"secret-key\r\n", b"secret-key"), (b" a key \n\n", b" a key \n")],
)  # fmt: skip
def test_one_newline_at_the_end_of_a_file_is_no_part_of_the_key(
    make: Make, tmp_path: Path, content: bytes, key: bytes
) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    assert find_authkey(make(QUEUE_AUTHKEY_FILE=str(path))) == key


def test_the_variable_goes_before_the_file(make: Make, tmp_path: Path) -> None:
    settings = make(QUEUE_AUTHKEY="from-variable", QUEUE_AUTHKEY_FILE=str(tmp_path / "none"))
    assert find_authkey(settings) == b"from-variable"
    assert master_authkey(settings) == b"from-variable"
    assert not (tmp_path / "none").exists()


def test_without_any_key_a_client_is_told_what_to_set(make: Make, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="QUEUE_AUTHKEY is not set"):
        find_authkey(make())
    with pytest.raises(SettingsError, match=r"QUEUE_AUTHKEY_FILE=.*no such file"):
        find_authkey(make(QUEUE_AUTHKEY_FILE=str(tmp_path / "none")))


def test_a_client_waits_for_the_key_file(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "key"
    settings = make(QUEUE_AUTHKEY_FILE=str(path))
    timer = threading.Timer(0.05, master_authkey, [settings])
    timer.start()
    assert find_authkey(settings, wait_s=20) == path.read_bytes().rstrip()
    timer.join()


def test_a_master_on_loopback_makes_a_key_that_its_clients_find(make: Make) -> None:
    settings = make()
    key = master_authkey(settings)
    assert len(key) >= 32
    assert master_authkey(settings) == key == find_authkey(settings)
    path = settings.master_data / "authkey"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["authkey"]


def test_masters_that_start_at_once_agree_on_one_key(make: Make, tmp_path: Path) -> None:
    settings = make(QUEUE_AUTHKEY_FILE=str(tmp_path / "key"), QUEUE_BIND="0.0.0.0")
    start = threading.Barrier(16)

    def begin(_: int) -> bytes:
        start.wait()
        return master_authkey(settings)

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(begin, range(16)))) == 1
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("replace", [True, False])
def test_a_file_is_whole_and_takes_the_place_of_an_older_one_only_if_it_may(
    tmp_path: Path, replace: bool
) -> None:
    path = tmp_path / "authkey"
    before = os.umask(0o777)
    try:
        write_file(path, b"first", 0o640, replace=replace)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640
    if replace:
        write_file(path, b"second", 0o600, replace=True)
    else:
        with pytest.raises(FileExistsError):
            write_file(path, b"second", 0o600, replace=False)
    assert path.read_bytes() == (b"second" if replace else b"first")
    assert [found.name for found in tmp_path.iterdir()] == ["authkey"]


def test_a_key_file_that_cannot_be_made_or_is_empty_is_one_line(make: Make, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"QUEUE_AUTHKEY_FILE.*No such file or directory"):
        master_authkey(make(QUEUE_AUTHKEY_FILE=str(tmp_path / "none" / "key")))
    with pytest.raises(SettingsError, match="cannot be read"):
        master_authkey(make(QUEUE_AUTHKEY_FILE=str(tmp_path)))
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(SettingsError, match="is empty"):
        master_authkey(make(QUEUE_AUTHKEY_FILE=str(tmp_path / "empty")))


def test_off_loopback_a_master_makes_no_key_of_its_own(make: Make) -> None:
    settings = make(QUEUE_BIND="0.0.0.0")
    with pytest.raises(SettingsError, match=r"QUEUE_BIND=0\.0\.0\.0 can be reached from other"):
        master_authkey(settings)
    assert not settings.master_data.exists()


NEAR = [
    {},
    {"QUEUE_BIND": "::1"},
    {"QUEUE_BIND": "0.0.0.0", "QUEUE_PUBLISH": ""},
    {"QUEUE_BIND": "0.0.0.0", "QUEUE_PUBLISH": "127.0.0.1:5000"},
]
FAR = [
    {"QUEUE_BIND": "0.0.0.0"},
    {"QUEUE_BIND": "10.0.0.1"},
    {"QUEUE_BIND": "0.0.0.0", "QUEUE_PUBLISH": "0.0.0.0:5000", "QUEUE_TLS": "off"},
    {"QUEUE_BIND": "0.0.0.0", "QUEUE_PUBLISH": "5000", "QUEUE_TLS": "off"},
    {"QUEUE_BIND": "127.0.0.1", "QUEUE_PUBLISH": "10.0.0.1:5000", "QUEUE_TLS": "off"},
]


@pytest.mark.parametrize("environ", NEAR)
def test_a_weak_key_is_a_warning_near_by(
    make: Make, environ: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert master_authkey(make(QUEUE_AUTHKEY="abc", **environ)) == b"abc"
    assert "the authkey is weak: it has 3 bytes, fewer than 16" in caplog.text


@pytest.mark.parametrize("environ", FAR)
def test_a_weak_key_is_refused_where_others_can_reach_it(
    make: Make, environ: dict[str, str]
) -> None:
    with pytest.raises(SettingsError, match="QUEUE_ALLOW_WEAK_AUTHKEY=1"):
        master_authkey(make(QUEUE_AUTHKEY="abc", **environ))
    allowed = make(QUEUE_AUTHKEY="abc", QUEUE_ALLOW_WEAK_AUTHKEY="1", **environ)
    assert master_authkey(allowed) == b"abc"


def test_a_strong_key_is_no_warning(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    master_authkey(make(QUEUE_AUTHKEY=secrets.token_urlsafe(16)))
    assert caplog.text == ""


@pytest.mark.parametrize(
    "make_key",
    [lambda: os.urandom(16), lambda: secrets.token_urlsafe(16).encode(),
     lambda: secrets.token_hex(16).encode(), lambda: base64.b64encode(os.urandom(16)),
     lambda: secrets.token_urlsafe(32).encode()],
    ids=["raw", "urlsafe", "hex", "base64", "as the master makes it"],
)  # fmt: skip
def test_sixteen_random_bytes_are_strong_in_every_form(make_key: Callable[[], bytes]) -> None:
    for _ in range(2_000):
        key = make_key()
        assert not weakness(key), key


@pytest.mark.parametrize(
    "key",
    ["", "abc", "secret-key", "a" * 40, "ab" * 20, "0123456789abcdef" * 2, "abcdefghijklmnopqrst",
     "01234567890123456789", "31415926535897932384626433", "Password12345678", "A Key Of The Team",
     "a-long-random-text", "correct horse battery staple", "incomprehensibilities",
     "INCOMPREHENSIBILITIES", "痛点就是起点", "- " * 20, "-" * 5_000 + "!"],
)  # fmt: skip
def test_what_somebody_thought_of_is_weak(key: str) -> None:
    assert weakness(key.encode())


@pytest.mark.parametrize("environ", FAR)
def test_a_random_key_is_taken_where_others_reach_it(make: Make, environ: dict[str, str]) -> None:
    key = secrets.token_urlsafe(16)
    assert master_authkey(make(QUEUE_AUTHKEY=key, **environ)) == key.encode()


def test_a_long_key_of_words_is_refused_in_one_line_that_says_what_to_take(make: Make) -> None:
    with pytest.raises(SettingsError) as caught:
        master_authkey(make(QUEUE_AUTHKEY="correct horse battery staple", **FAR[0]))
    line = str(caught.value)
    assert "looks like words" in line
    assert "secrets.token_urlsafe(16)" in line
    assert "QUEUE_BIND=0.0.0.0" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("environ", "where"),
    [
        ({}, "in {0} (docker compose run --rm key), or"),
        ({"QUEUE_AUTHKEY": "abc"}, "as QUEUE_AUTHKEY, or"),
    ],
)
def test_a_weak_key_is_to_be_replaced_where_it_was_found(
    make: Make, tmp_path: Path, environ: dict[str, str], where: str
) -> None:
    path = tmp_path / "key"
    path.write_text("abc\n")
    published = {"QUEUE_BIND": "0.0.0.0", "QUEUE_PUBLISH": "10.0.0.1:5000"}
    with pytest.raises(SettingsError) as caught:
        master_authkey(make(QUEUE_AUTHKEY_FILE=str(path), **published, **environ))
    assert where.format(path) in str(caught.value)


def test_a_store_has_a_salt_of_its_own_made_once(make: Make, tmp_path: Path) -> None:
    settings = make()
    salt = installation_salt(settings)
    assert len(salt) == 16
    assert installation_salt(settings) == salt
    path = settings.master_data / "salt"
    assert path.stat().st_mode & 0o777 == 0o600
    assert installation_salt(make(MASTER_DATA=str(tmp_path / "other"))) != salt
    path.write_text("nonsense\n")
    with pytest.raises(SettingsError, match=r"salt is no salt .*: delete it"):
        installation_salt(settings)
