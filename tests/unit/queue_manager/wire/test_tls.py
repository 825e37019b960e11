"""When a connection is encrypted, who is told what when it can't be, and what failures mean."""

from __future__ import annotations

import contextlib
import ssl

import pytest

from queue_manager.errors import ConnectionLostError, TlsError, WrongKeyError
from queue_manager.settings import load_settings
from queue_manager.wire import handshake, tls

PUBLISHED = {"QUEUE_BIND": "0.0.0.0", "QUEUE_PUBLISH": "192.0.2.1:5000"}
NEAR = {"QUEUE_BIND": "0.0.0.0", "QUEUE_PUBLISH": "127.0.0.1:"}


@pytest.fixture
def psk(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Python 3.13."""
    monkeypatch.setattr(ssl, "HAS_PSK", True, raising=False)


@pytest.fixture
def no_psk(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Python 3.12."""
    monkeypatch.setattr(ssl, "HAS_PSK", False, raising=False)


NEAR_ADDRESSES = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]
FAR_ADDRESSES = ["192.168.1.2", "::ffff:192.168.1.2", "fe80::1%eth0", "172.18.0.1"]


@pytest.mark.usefixtures("psk")
@pytest.mark.parametrize("host", NEAR_ADDRESSES + FAR_ADDRESSES)
def test_our_clients_encrypt_on_loopback_too(host: str) -> None:
    assert tls.encrypts("auto", host, True)
    assert tls.encrypts("required", host, True)
    assert not tls.encrypts("off", host, True)


@pytest.mark.usefixtures("psk")
def test_a_server_that_has_no_tls_is_spoken_to_in_clear_on_loopback_alone() -> None:
    assert not any(tls.encrypts("auto", host, False) for host in NEAR_ADDRESSES)
    assert all(tls.encrypts("auto", host, False) for host in FAR_ADDRESSES)
    assert all(tls.encrypts("required", host, False) for host in NEAR_ADDRESSES)


@pytest.mark.usefixtures("no_psk")
def test_a_python_that_can_not_encrypt_speaks_in_clear_on_loopback_alone() -> None:
    """Off loopback it says that it encrypts, which it then can't: no way back to clear."""
    assert not any(tls.encrypts("auto", host, True) for host in NEAR_ADDRESSES)
    assert all(tls.encrypts("auto", host, True) for host in FAR_ADDRESSES)


@pytest.mark.usefixtures("psk")
@pytest.mark.parametrize(
    ("environ", "mode"),
    [
        ({}, "auto"),
        (NEAR, "auto"),
        (PUBLISHED, "required"),
        ({**PUBLISHED, "QUEUE_TLS": "auto"}, "auto"),
        ({**PUBLISHED, "QUEUE_TLS": "off"}, "off"),
        ({**NEAR, "QUEUE_TLS": "required"}, "required"),
        ({"QUEUE_BIND": "0.0.0.0"}, "required"),
        ({"QUEUE_BIND": "192.168.1.10"}, "required"),
        ({"QUEUE_BIND": "0.0.0.0", "QUEUE_PUBLISH": ""}, "auto"),
        ({"QUEUE_BIND": "0.0.0.0", "QUEUE_TLS": "auto"}, "auto"),
        ({"QUEUE_BIND": "::1"}, "auto"),
    ],
)
def test_a_published_master_demands_it_unless_told_otherwise(
    environ: dict[str, str], mode: str
) -> None:
    assert tls.master_mode(load_settings(environ)) == mode


@pytest.mark.usefixtures("no_psk")
def test_who_needs_it_and_can_not_is_told_what_to_do() -> None:
    for environ, names in (
        (PUBLISHED, "QUEUE_PUBLISH=192.0.2.1:5000"),
        ({"QUEUE_TLS": "required"}, "QUEUE_TLS=required"),
        ({"QUEUE_BIND": "0.0.0.0"}, r"QUEUE_BIND=0\.0\.0\.0"),
    ):
        with pytest.raises(TlsError, match=rf"{names}: .*Python 3\.13.*QUEUE_TLS=off") as caught:
            tls.master_mode(load_settings(environ))
        assert "\n" not in str(caught.value)
    with pytest.raises(TlsError, match=r"QUEUE_TLS=required: .*Python 3\.13.*QUEUE_TLS=off"):
        tls.client_mode(load_settings({"QUEUE_TLS": "required"}))
    for make in (lambda psk: tls.client_context(psk, b"a greeting"), tls.server_context):
        with pytest.raises(TlsError, match=r"Python 3\.13"):
            make(bytes(32))
    assert tls.client_mode(load_settings({})) == "auto"


def test_the_identity_names_one_greeting_and_is_short_enough_for_openssl() -> None:
    """OpenSSL before 3 takes 128 bytes."""
    one, two = (tls.identity(handshake.refusal(bytes(16))) for _ in range(2))
    assert one != two
    assert len(one) <= 128


@pytest.mark.skipif(not tls.has_psk(), reason="tests/docker runs this on the image's Python")
def test_openssl_itself_refuses_an_identity_of_somebody_else() -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.set_psk_client_callback(lambda hint: ("somebody", bytes(32)))
    with contextlib.suppress(ssl.SSLWantReadError):
        client.wrap_bio(ssl.MemoryBIO(), incoming).do_handshake()
    with pytest.raises(ssl.SSLError):
        tls.server_context(bytes(32)).wrap_bio(incoming, outgoing, server_side=True).do_handshake()


@pytest.mark.parametrize(
    ("reason", "kind", "says"),
    [
        ("TLSV1_ALERT_DECRYPT_ERROR", WrongKeyError, "wrong authkey for h:1"),
        ("BINDER_DOES_NOT_VERIFY", WrongKeyError, "wrong authkey for h:1"),
        ("TLSV1_ALERT_ACCESS_DENIED", TlsError, "h:1 takes no encrypted connections"),
        ("CERTIFICATE_VERIFY_FAILED", WrongKeyError, "h:1 shows a certificate"),
        ("BAD_RECORD_MAC", ConnectionLostError, "handshake with h:1 failed: BAD_RECORD_MAC"),
    ],
)
def test_what_a_failed_handshake_means(reason: str, kind: type[Exception], says: str) -> None:
    error = ssl.SSLError(1, f"[SSL: {reason}] some text")
    error.reason = reason
    found = tls.meaning(error, "h:1")
    assert type(found) is kind
    assert says in str(found)
