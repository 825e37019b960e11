"""What mail keeps to on all workers: rates, pauses, logins, lists; read from servers' records."""

from __future__ import annotations

import base64
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult

from queue_manager import connect
from tests.integration.processes import KEY, Master, eventually
from tests.integration.test_mail import failed, mail_master, recipients, submit
from tests.mail_server import MailServer

__all__ = ["mail_master"]

PASSWORD = "correct horse battery"


def test_the_rate_of_a_domain_and_its_connections_hold_on_all_workers(mail_master: Master) -> None:
    list_, addresses = recipients(mail_master.folder, 24, domains=2)
    with MailServer() as server:
        server.answer_s = 0.1
        arguments = {"campaign": "c", "server": server.address, "per_minute": 240, "at_once": 2}
        run = submit(mail_master, list_, **arguments)
        for _ in range(2):
            mail_master.worker()
        mail_master.ended_tasks(run, len(addresses))
    assert server.taken == dict.fromkeys(addresses, 1)
    assert server.most <= 2
    for domain in range(2):
        starts = sorted(
            at for to, at in server.starts.items() if to.endswith(f"d{domain}.example.org")
        )
        # 240 a minute is one in 0.25 s. The way from the master to the server takes its time.
        assert starts[-1] - starts[0] >= 0.25 * (len(starts) - 1) - 0.2


def test_the_rate_of_a_server_holds_on_all_workers(mail_master: Master) -> None:
    list_, addresses = recipients(mail_master.folder, 30)
    with MailServer() as server:
        run = submit(mail_master, list_, campaign="c", server=server.address, rate=10)
        for _ in range(2):
            mail_master.worker()
        mail_master.ended_tasks(run, len(addresses))
    starts = sorted(server.starts.values())
    # The first message opens a connection, which takes long on a machine that is busy.
    assert starts[-1] - starts[0] >= 0.1 * (len(starts) - 1) - 1.0


def test_a_connection_is_kept_for_many_messages_and_ended_in_order(mail_master: Master) -> None:
    list_, addresses = recipients(mail_master.folder, 60, domains=1)
    with MailServer() as server:
        run = submit(mail_master, list_, campaign="c", server=server.address, at_once=2)
        worker = mail_master.worker(WORKER_SLOTS="1")
        mail_master.ended_tasks(run, len(addresses))
        assert worker.terminate() == 0
        eventually(lambda: server.connections == 0, what="the end of all connections")
    # The tests' controller opens one to see that it is up.
    assert server.quits == server.opened - 1
    assert server.opened <= 6


def test_an_answer_too_many_holds_the_domain_back_on_all_workers(mail_master: Master) -> None:
    list_, addresses = recipients(mail_master.folder, 12, domains=2)
    refused_at: list[float] = []

    def fault(to: str) -> str:
        if to.endswith("d1.example.org") and not refused_at:
            refused_at.append(time.monotonic())
            return "421 4.7.0 too many messages from you"
        return ""

    with MailServer(fault) as server:
        # report() is called each five seconds, so the domain waits for longer than that.
        run = submit(mail_master, list_, campaign="c", server=server.address, retry_s=8)
        for _ in range(2):
            mail_master.worker()
        mail_master.process.says(r"mail: .*d1\.example\.org waits .*421 4\.7\.0 too many")
        mail_master.ended_tasks(run, len(addresses))
    assert server.taken == dict.fromkeys(addresses, 1)
    held = [at for to, at in server.starts.items() if to.endswith("d1.example.org")]
    others = [at for to, at in server.starts.items() if to.endswith("d0.example.org")]
    assert min(held) - refused_at[0] >= 6.0
    assert max(others) < min(held)


def test_a_hard_bounce_is_suppressed_and_the_next_campaign_leaves_it_out(
    mail_master: Master,
) -> None:
    list_, addresses = recipients(mail_master.folder, 3)
    bad = addresses[1]
    with MailServer(lambda to: "550 5.1.1 no such user" if to == bad else "") as server:
        mail_master.worker()
        run = submit(mail_master, list_, campaign="c", server=server.address)
        mail_master.ended_tasks(run, 3)
        assert failed(mail_master, run)[bad].endswith("550 5.1.1 no such user")
        listed = mail_master.folder / "out" / "suppressed.txt"
        assert listed.read_text() == f"{bad}  # 550 5.1.1 no such user\n"
        out = mail_master.folder / "out" / "second"
        run = submit(mail_master, list_, campaign="d", server=server.address, out=out)
        rows = mail_master.ended_tasks(run, 3)
    states = {row["payload"]["to"]: row["result"]["state"] for row in rows}
    assert states == {**dict.fromkeys(addresses, "sent"), bad: "suppressed"}


def test_the_same_campaign_again_sends_to_new_recipients_alone(mail_master: Master) -> None:
    list_, addresses = recipients(mail_master.folder, 3)
    with MailServer() as server:
        mail_master.worker()
        arguments = {"campaign": "c", "server": server.address}
        first = submit(mail_master, list_, **arguments)
        mail_master.ended_tasks(first, 3)
        assert submit(mail_master, list_, **arguments) == first
        with Path(list_.partition("=")[2]).open("a") as file:
            file.write("new@example.org,New\nREADER1@D1.example.org,Again\n")
        mail_master.ended_tasks(submit(mail_master, list_, "--key", "more", **arguments), 4)
    assert server.taken == dict.fromkeys([*addresses, "new@example.org"], 1)


def test_a_dry_campaign_writes_files_and_asks_no_server(mail_master: Master) -> None:
    list_, addresses = recipients(mail_master.folder, 3)
    run = submit(mail_master, list_, campaign="c", dry=1, subject="Hello {{ name }}")
    mail_master.worker()
    mail_master.ended_tasks(run, 3)
    files = list((mail_master.folder / "out" / "campaign" / "eml").glob("*.eml"))
    assert len(files) == len(addresses)
    assert any(f"Subject: Hello Reader {addresses[0]}" in path.read_text() for path in files)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1, and its key, in one folder."""
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    words += ["-subj", "/CN=127.0.0.1"]
    words += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(tmp_path / "cert.pem")]
    words += ["-keyout", str(tmp_path / "key.pem")]
    subprocess.run(words, check=True, capture_output=True)
    return tmp_path / "cert.pem"


def server_context(certificate: Path) -> ssl.SSLContext:
    """What a server with this certificate encrypts with."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    return context


def secured(certificate: Path, logins: list[str]) -> dict[str, Any]:
    """The settings of a server that wants TLS and a login."""

    def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> Any:
        given = (data.login.decode(), data.password.decode())
        logins.append(given[0])
        return AuthResult(success=given == ("me", PASSWORD))

    return {
        "tls_context": server_context(certificate),
        "require_starttls": True,
        "auth_required": True,
        "authenticator": authenticate,
    }


def test_a_server_is_verified_and_the_login_is_nowhere_to_be_seen(
    mail_master: Master, certificate: Path
) -> None:
    master, logins = mail_master, list[str]()
    secret = master.folder / "password"
    secret.write_text(PASSWORD + "\n")
    with MailServer(**secured(certificate, logins)) as server:
        run = submit(master, to="ann@example.org", tls="verified", retry_s=0.2)
        mine = {"MAIL_SERVER": server.address, "MAIL_USER": "me"}
        mine["MAIL_PASSWORD_FILE"] = str(secret)
        distrusts = master.worker(**mine)
        master.process.says(r"task 1 failed: .*is not who it says")
        distrusts.kill()
        assert server.taken.total() == 0
        assert logins == []
        worker = master.worker(**mine, SSL_CERT_FILE=str(certificate))
        master.ended_tasks(run, 1)
    assert (dict(server.taken), logins) == ({"ann@example.org": 1}, ["me"])
    seen = master.command("show", str(run), "1").out + master.process.log + worker.log
    encoded = base64.b64encode(b"\0me\0" + PASSWORD.encode()).decode()
    for path in [*master.folder.rglob("out/**/*"), *master.folder.rglob("data/*")]:
        seen += path.read_bytes().decode("latin1") if path.is_file() else ""
    assert PASSWORD not in seen
    assert encoded not in seen


def test_the_next_server_is_taken_where_the_first_is_away(mail_master: Master) -> None:
    list_, addresses = recipients(mail_master.folder, 5)
    with MailServer() as gone:
        away = gone.address
    with MailServer() as server:
        run = submit(mail_master, list_, campaign="c", server=f"{away},{server.address}")
        mail_master.worker()
        mail_master.ended_tasks(run, 5)
    assert server.taken == dict.fromkeys(addresses, 1)


def test_a_program_puts_messages_and_one_with_the_same_id_is_not_sent_again(
    mail_master: Master,
) -> None:
    with MailServer() as server:
        mail_master.worker()
        given = {"to": "ann@example.org", "subject": "Hello {{", "text": "{{ no template }}"}
        out = str(mail_master.folder / "out" / "queue")
        with connect(f"127.0.0.1:{mail_master.port}", authkey=KEY) as qm:
            for _ in range(2):
                run = qm.submit(
                    "mail", key="order-17", **given, server=server.address, tls="off", out=out
                )
                run.wait(timeout=60)
    assert server.taken == {"ann@example.org": 1}
    found = server.message("ann@example.org")
    assert found["subject"] == "Hello {{"
    assert found.get_content().strip() == "{{ no template }}"


def test_a_script_of_the_standard_library_puts_messages(
    mail_master: Master, certificate: Path
) -> None:
    master = mail_master
    master.process.terminate()
    master.settings["JOB"] = "mail"
    master.serve()
    client = master.client()
    given = {"id": "order-17", "to": "ann@example.org", "subject": "Your order", "text": "Hello"}
    other = {**given, "id": "order-18", "to": "Bob <bob@example.org>", "html": "<p>Hello</p>"}
    with MailServer(tls_context=server_context(certificate), require_starttls=True) as server:
        out = str(master.folder / "out" / "queue")
        mine = {"MAIL_SERVER": server.address, "MAIL_OUT": out, "SSL_CERT_FILE": str(certificate)}
        master.worker(**mine)
        results = []
        for message in (given, other, given):
            client("tasks.put(message)", message=message)
            results.append(client("results.get(timeout=60)"))
        client("tasks.put({'to': 'ann@example.org', 'text': 'Hello'})")
        rows = master.ended_tasks(0, 4)
    assert server.taken == {"ann@example.org": 1, "bob@example.org": 1}
    assert [result["state"] for result in results] == ["sent"] * 3
    assert ["again" in result for result in results] == [False, False, True]
    assert server.message("bob@example.org")["to"] == "Bob <bob@example.org>"
    assert [row["attempts"] for row in rows] == [1] * 4
    assert rows[3]["error"].startswith("a message needs id: a text that no other message has")
    refused = "JOB=mail: mail needs recipients=FILE and campaign=NAME, or to=ADDRESS"
    assert master.process.lines(f"{refused}; the master serves without it")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["to=nobody"], "argument 'to' is a mail address, such as ann@example.org, not 'nobody'"),
        (["template=/no/file.html"], "argument 'template' is a path of a Jinja2 template"),
        (["text=Hello"], "mail needs recipients=FILE and campaign=NAME, or to=ADDRESS"),
        (["to=ann@example.org"], "mail needs template=FILE or text=WORDS"),
        (["server=a b@c"], "argument 'server' is a list of mail servers"),
        (["campaign=../x"], "argument 'campaign' is a name made of letters"),
        (
            ["recipients=/dev/null", "campaign=c", "text=Hello", "subject={{ name"],
            "subject= is no Jinja2 template: line 1: unexpected end of template",
        ),
    ],
)
def test_a_wrong_argument_is_one_line(mail_master: Master, words: list[str], line: str) -> None:
    assert line in mail_master.command("submit", "mail", *words).refusal
