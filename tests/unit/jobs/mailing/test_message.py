"""Messages: what is in them, and what a row can't put into them."""

from __future__ import annotations

import os
import shutil
import subprocess
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import dkim
import pytest

from jobs.mailing.addresses import mailbox, one_line
from jobs.mailing.campaign import Campaign
from jobs.mailing.letter.message import identity, made
from jobs.mailing.letter.signing import WrongKeyError, signed

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(20)


def message(
    to: str = "ann@example.org", name: str = "", values: dict[str, Any] | None = None, **asked: Any
) -> EmailMessage:
    """A message, parsed strictly."""
    found = message_from_bytes(data(to, name, values, **asked), policy=strict())
    assert isinstance(found, EmailMessage)
    return found


def data(
    to: str = "ann@example.org", name: str = "", values: dict[str, Any] | None = None, **asked: Any
) -> bytes:
    given = {"out": "/nowhere", "sender": "News <news@example.org>", "text": "Hello", **asked}
    who = mailbox(to, name)
    return made(Campaign(**given), identity("c", who), who, values or {}, verbatim=False).data


def strict() -> policy.EmailPolicy:
    return policy.default.clone(raise_on_defect=True)


def test_a_letter_has_its_values_its_sender_and_an_id_of_campaign_and_recipient() -> None:
    found = message(values={"name": "Ann"}, subject="Hello {{ name }}", text="Dear {{ name }},")
    assert found["subject"] == "Hello Ann"
    assert found["from"] == "News <news@example.org>"
    assert found.get_content().split() == ["Dear", "Ann,"]
    assert found["message-id"] == f"<{identity('c', mailbox('ANN@Example.org'))}@example.org>"
    assert identity("c", mailbox("bob@example.org")) != identity("c", mailbox("ann@example.org"))


def test_html_is_escaped_and_has_a_text_part_made_of_it() -> None:
    html = '<h1>Hello {{ name }}</h1><p>Read <a href="https://example.org/x">more</a></p>'
    found = message(values={"name": "<b>&"}, text="", html=html)
    assert found.get_content_type() == "multipart/alternative"
    text, page = found.iter_parts()
    assert "Hello <b>&" in text.get_content()
    assert "https://example.org/x" in text.get_content()
    assert "Hello &lt;b&gt;&amp;" in page.get_content()


ONLY = {
    *("message-id", "from", "to", "subject", "date", "list-unsubscribe", "list-unsubscribe-post"),
    *("mime-version", "content-type", "content-transfer-encoding"),
}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\u2028", "\x85", "\x0b"])
def test_a_row_can_begin_no_header(end: str) -> None:
    evil = f"x{end}Bcc: victim@example.org{end}{end}body"
    found = message(
        name=evil,
        values={"name": evil},
        subject="Hi {{ name }}",
        unsubscribe="https://example.org/u?n={{ name }}",
    )
    assert found["bcc"] is None
    assert {name.lower() for name in found} == ONLY
    assert len(found.keys()) == len(ONLY)
    assert found.get_content().split() == ["Hello"]


def test_an_address_with_a_line_end_is_none() -> None:
    for wrong in ("ann@example.org\nBcc: x@example.org", "ann\r\n@example.org", "", "ann", "a@b@c"):
        with pytest.raises(ValueError, match="is no mail address"):
            mailbox(wrong)


def test_addresses_of_a_network_of_ones_own_are_addresses() -> None:
    assert mailbox("ann@mail.local").envelope == "ann@mail.local"
    assert mailbox("ann@mail.test").envelope == "ann@mail.test"


def test_two_names_that_a_server_may_tell_apart_are_two_addresses() -> None:
    assert mailbox("straße@example.org").key != mailbox("strasse@example.org").key
    assert mailbox("JÖRG@example.org").key == mailbox("jörg@example.org").key


def test_long_and_foreign_headers_come_back_as_they_were() -> None:
    subject = "Grüße 🌱 " + "wort " * 300
    name = "Zoë " + "Ångström " * 18
    found = message(name=name, subject=subject)
    assert found["subject"] == subject.strip()
    raw = data(name=name, subject=subject)
    # Python's own parser of names puts spaces between encoded words (RFC 2047, 6.2 wants none).
    to = raw.partition(b"\r\nTo: ")[2].partition(b" <ann@example.org>")[0].decode()
    assert str(make_header(decode_header(to))) == name.strip()
    lines = raw.split(b"\r\n")
    assert max(map(len, lines)) <= 998
    assert all(line.isascii() for line in lines)


def test_a_domain_outside_ascii_is_sent_as_idna_and_a_name_as_utf8() -> None:
    who = mailbox("Ann@Müller.example")
    assert (who.envelope, who.needs_utf8) == ("Ann@xn--mller-kva.example", False)
    assert who.key == mailbox("ann@xn--mller-kva.example").key
    assert mailbox("jörg@example.org").needs_utf8
    assert "jörg@example.org" in str(message(to="jörg@example.org")["to"])


def test_one_click_unsubscribing_is_offered_on_one_line() -> None:
    link = "https://example.org/u/{{ to }}?" + "x" * 300
    raw = data(unsubscribe=link)
    assert b"\r\nList-Unsubscribe: <https://example.org/u/ann@example.org?" + b"x" * 300 in raw
    assert b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in raw
    assert b"-Post" not in data(unsubscribe="mailto:off@example.org")
    with pytest.raises(ValueError, match="no address that begins with"):
        data(unsubscribe="javascript:x")


def test_a_plus_in_an_address_comes_back_to_the_server_that_is_asked() -> None:
    raw = data(to="ann+x&y=1@example.org", unsubscribe="https://example.org/u?m={{ to }}")
    link = raw.partition(b"List-Unsubscribe: <")[2].partition(b">")[0].decode()
    assert parse_qs(urlsplit(link).query) == {"m": ["ann+x&y=1@example.org"]}


def test_a_body_outside_ascii_needs_nothing_of_the_server() -> None:
    asked = {"text": "Grüße, Zoë", "html": "<p>Grüße</p>", "subject": "Grüße"}
    assert data(name="Zoë", **asked).isascii()
    assert "Grüße, Zoë" in next(message(**asked).iter_parts()).get_content()


@pytest.mark.parametrize("field", ["to", "sender", "reply_to", "bounces"])
def test_an_address_outside_ascii_needs_smtputf8(field: str) -> None:
    given = {"to": "ann@example.org", "sender": "news@example.org", field: "jörg@example.org"}
    who = mailbox(given.pop("to"))
    for changed in (given, {"sender": "news@example.org"}):
        campaign = Campaign("/nowhere", text="Hello", **changed)
        found = made(campaign, "id", who, {}, verbatim=False)
        expected = changed is given or field == "to"
        assert found.needs_utf8 is expected


def test_files_are_attached_and_pictures_are_inline(tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(PICTURE)
    (tmp_path / "prices ä.csv").write_bytes(b"a;b\n\xff\n")
    found = message(
        html='<img src="cid:logo.png">',
        inline=[str(tmp_path / "logo.png")],
        attach=[str(tmp_path / "prices ä.csv")],
    )
    picture = next(part for part in found.walk() if part["content-id"])
    assert picture["content-id"] == "<logo.png>"
    assert picture.get_content_disposition() == "inline", "programs list attachments"
    assert picture.get_content() == PICTURE
    (attached,) = found.iter_attachments()
    assert attached.get_filename() == "prices ä.csv"
    assert attached.get_content() == b"a;b\n\xff\n"


def test_a_value_that_a_row_lacks_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="'nam' is undefined"):
        message(text="Dear {{ nam }}")


@pytest.mark.parametrize(
    "source",
    ["{{ ''.__class__.__mro__ }}", "{{ name.__init__.__globals__ }}", "{{ [].append(1) }}"],
)
def test_a_template_reaches_nothing_but_its_values(source: str) -> None:
    with pytest.raises(ValueError, match=r"unsafe|sandbox"):
        message(values={"name": "Ann"}, text=source)


def test_one_line_has_no_control_characters() -> None:
    assert one_line("a\r\n b\x00c\ud800") == "a b c?"


@pytest.fixture
def key(tmp_path: Path) -> tuple[str, bytes]:
    """The path of a new key, and the record of DNS that has its public half."""
    path = str(tmp_path / "key.pem")
    subprocess.run(["openssl", "genrsa", "-out", path, "2048"], check=True, capture_output=True)
    words = ["openssl", "rsa", "-in", path, "-pubout", "-outform", "PEM"]
    public = subprocess.run(words, check=True, capture_output=True).stdout.splitlines()
    return path, b"v=DKIM1; k=rsa; p=" + b"".join(public[1:-1])


def signed_letter(key: str) -> bytes:
    campaign = Campaign("/nowhere", sender="news@example.org", text="Hello\n.\n", dkim_key=key)
    campaign = Campaign(
        "/nowhere",
        sender="news@example.org",
        text="Hello\n\n.dot\n",
        subject="Grüße",
        unsubscribe="https://example.org/u",
        dkim_key=key,
        dkim_selector="s1",
    )
    who = mailbox("ann@example.org")
    return signed(made(campaign, "id", who, {}, verbatim=False), campaign)


def test_a_signature_holds_and_covers_the_one_click_headers(key: tuple[str, bytes]) -> None:
    raw = signed_letter(key[0])
    asked: list[bytes] = []

    def record(name: bytes, timeout: int = 5) -> bytes:
        asked.append(name)
        return key[1]

    assert dkim.verify(raw, dnsfunc=record)
    assert asked == [b"s1._domainkey.example.org."]
    changed = raw.replace(b"https://example.org/u", b"https://example.org/v")
    assert not dkim.verify(changed, dnsfunc=record)


VERIFIER = r"""
use Mail::DKIM::Verifier; use Mail::DKIM::PublicKey;
no warnings 'redefine';
*Mail::DKIM::PublicKey::fetch_async = sub {
    my ($class, %how) = @_; my $key = $class->parse($ENV{RECORD});
    my $found = $how{Callbacks}{Success}->($key); return sub { $found } };
my $verifier = Mail::DKIM::Verifier->new;
local $/; my $mail = <STDIN>; $verifier->PRINT($mail); $verifier->CLOSE;
print $verifier->result_detail;
"""


def perl_has_dkim() -> bool:
    words = ["perl", "-MMail::DKIM::Verifier", "-e", "1"]
    return bool(shutil.which("perl")) and subprocess.run(words, capture_output=True).returncode == 0


@pytest.mark.skipif(
    not perl_has_dkim() and os.environ.get("CI") != "true",
    reason="needs Perl's Mail::DKIM, which `make venv` installs on Debian: libmail-dkim-perl",
)
def test_a_second_library_verifies_the_signature_too(key: tuple[str, bytes]) -> None:
    raw = signed_letter(key[0])
    environment = {**os.environ, "RECORD": key[1].decode()}

    def result(mail: bytes) -> bytes:
        words = ["perl", "-e", VERIFIER]
        done = subprocess.run(words, input=mail, env=environment, capture_output=True, check=True)
        return done.stdout

    assert result(raw) == b"pass"
    assert result(raw.replace(b"Hello", b"Hullo")).startswith(b"fail")


def test_a_key_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("nonsense")
    with pytest.raises(WrongKeyError, match="signs nothing"):
        signed_letter(str(tmp_path / "key.pem"))
