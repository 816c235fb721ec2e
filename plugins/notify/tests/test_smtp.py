"""Mail, against a real server: one that works, and one that is down, slow, lying, or without TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tta_kernel.testing import problems
from tta_notify import ChannelError, Message
from tta_notify.channels import send_through
from tta_notify.smtp import NotifySmtp, SmtpChannel, SmtpConfig
from tta_notify.testing.receivers import unused_port

MESSAGE = Message(
    id="d1", key="k1", topic="crisis", severity="critical", subject="a person needs you \N{SNOWMAN}", body="at once",
    at=1767225600.0, to="anna@example.org", link="https://tta.example.org/notifications/link/k1.t",
)  # fmt: skip


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Mailbox:
    """Takes mail, or does what ``reply`` says instead."""

    def __init__(self, reply: str = "250 OK", *, keeps: bool = True, refuses: str = "") -> None:
        self.reply, self.keeps, self.refuses = reply, keeps, refuses
        self.mails: list[bytes] = []
        self.hangs = self.closes = False
        self.tls = False

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any
    ) -> str:
        if self.refuses:
            return self.refuses
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        self.tls = session.ssl is not None
        if self.hangs:
            await anyio.sleep_forever()
        if self.keeps:
            assert isinstance(envelope.content, bytes)
            self.mails.append(envelope.content)
        if self.closes:
            assert isinstance(server.transport, asyncio.WriteTransport)
            server.transport.abort()
        return self.reply


@asynccontextmanager
async def server(mailbox: Mailbox, **settings: Any) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()  # noqa: TID251 - aiosmtpd is a protocol of asyncio
    made = await loop.create_server(lambda: SMTP(mailbox, enable_SMTPUTF8=True, **settings), "127.0.0.1", 0)
    try:
        yield made.sockets[0].getsockname()[1]
    finally:
        made.close()


def channel(port: int, **settings: Any) -> SmtpChannel:
    made: dict[str, Any] = {"host": "localhost", "sender": "tta@example.org", "port": port, **settings}
    return SmtpChannel(SmtpConfig(**made))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(file)
    return file


@pytest.fixture
def context(authority: trustme.CA) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(made)
    return made


def logs_in(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword) -> AuthResult:
    return AuthResult(success=(data.login, data.password) == (b"tta", b"s3cret"), handled=False)


async def test_a_mail_goes_out_by_starttls_to_whoever_knows_the_password(
    ca_file: Path, context: ssl.SSLContext
) -> None:
    mailbox = Mailbox()
    async with server(mailbox, tls_context=context, require_starttls=True, authenticator=logs_in) as port:
        found = channel(port, ca_file=ca_file, user="tta", password="s3cret")
        assert (await send_through(found, MESSAGE, 10.0)).said == "250"
    mail = message_from_bytes(mailbox.mails[0], policy=policy.default)
    assert mailbox.tls
    assert (mail["To"], mail["Message-ID"]) == ("anna@example.org", "<d1@example.org>")
    assert mail["Subject"] == "[critical] a person needs you \N{SNOWMAN}"
    assert mail["Auto-Submitted"] == "auto-generated"
    text = mail.get_content()
    assert "at once" in text
    assert MESSAGE.link in text
    assert "tta notify acknowledge k1" in text


async def test_whoever_gives_the_wrong_password_may_try_again(ca_file: Path, context: ssl.SSLContext) -> None:
    async with server(Mailbox(), tls_context=context, authenticator=logs_in) as port:
        found = channel(port, ca_file=ca_file, user="tta", password="wrong")
        with pytest.raises(ChannelError, match="AuthenticationError 535") as caught:
            await send_through(found, MESSAGE, 10.0)
    assert caught.value.retryable


async def test_a_server_that_refuses_starttls_gets_nothing() -> None:
    mailbox = Mailbox()
    async with server(mailbox) as port:
        with pytest.raises(ChannelError) as caught:
            await send_through(channel(port), MESSAGE, 10.0)
    assert caught.value.retryable
    assert mailbox.mails == []


async def test_a_server_that_nobody_vouches_for_gets_nothing(context: ssl.SSLContext) -> None:
    mailbox = Mailbox()
    async with server(mailbox, tls_context=context) as port:
        with pytest.raises(ChannelError):
            await send_through(channel(port), MESSAGE, 10.0)
    assert mailbox.mails == []


async def test_a_server_that_is_down_is_one_to_try_again() -> None:
    with pytest.raises(ChannelError) as caught:
        await send_through(channel(unused_port(), tls="none"), MESSAGE, 10.0)
    assert (caught.value.code, caught.value.retryable) == ("ConnectError", True)


async def test_a_server_that_is_slow_is_left_when_its_time_is_over() -> None:
    mailbox = Mailbox()
    mailbox.hangs = True
    async with server(mailbox) as port:
        with anyio.fail_after(10), pytest.raises(ChannelError, match="time-limit"):
            await send_through(channel(port, tls="none"), MESSAGE, 0.3)


async def test_a_server_that_says_it_has_taken_it_and_drops_it_is_believed() -> None:
    mailbox = Mailbox(keeps=False)
    async with server(mailbox) as port:
        assert (await send_through(channel(port, tls="none"), MESSAGE, 10.0)).said == "250"


@pytest.mark.parametrize(("reply", "retryable"), [("554 no", False), ("451 later", True)])
async def test_a_server_that_takes_it_and_says_that_it_has_not_is_believed_too(reply: str, retryable: bool) -> None:
    mailbox = Mailbox(reply)
    async with server(mailbox) as port:
        for _ in range(2):
            with pytest.raises(ChannelError, match=f"refused {reply[:3]}") as caught:
                await send_through(channel(port, tls="none"), MESSAGE, 10.0)
            assert caught.value.retryable is retryable
    # Its readers know that it is one.
    assert len({message_from_bytes(each)["Message-ID"] for each in mailbox.mails}) == 1


async def test_a_server_that_closes_in_the_middle_is_one_to_try_again() -> None:
    mailbox = Mailbox()
    mailbox.closes = True
    async with server(mailbox) as port:
        with pytest.raises(ChannelError, match=r"ServerDisconnected|ReadTimeoutError") as caught:
            await send_through(channel(port, tls="none"), MESSAGE, 10.0)
    assert caught.value.retryable


async def test_an_address_that_is_unknown_is_no_reason_to_try_again() -> None:
    async with server(Mailbox(refuses="550 no such mailbox")) as port:
        with pytest.raises(ChannelError, match="recipient-refused 550") as caught:
            await send_through(channel(port, tls="none"), MESSAGE, 10.0)
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("config", "where"),
    [
        ({"tls": "none", "user": "u", "password": "p"}, "tls: the password would be sent in the clear"),
        ({"user": "u"}, "`user` and `password` come together"),
        ({"ca_file": "/nowhere/ca.pem"}, "ca_file: there is no such file"),
        ({"sender": "nobody"}, "sender"),
    ],
)
def test_what_makes_no_sense_is_refused(config: dict[str, Any], where: str) -> None:
    found = problems(NotifySmtp, config={"host": "localhost", "sender": "tta@example.org", **config})
    assert any(where in each for each in found), found
