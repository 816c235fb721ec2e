"""The channel that sends mail: by SMTP, never in the clear where TLS was asked for."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Annotated, Literal

import aiosmtplib
import msgspec
from msgspec import Meta

from tta_kernel import ConfigPath, Plugin, Problem, Secret, hookimpl

from .channels import Accepted, Channel, ChannelError, Message

_LIMIT = 60.0
"""Seconds that the library may take; the config's `limit` of notify is shorter."""


class SmtpConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``host`` and ``port`` of the server, and the address of the ``sender``; ``name``: what the channel is called.

    ``tls``: ``starttls`` (a server that refuses it gets nothing), ``implicit`` from the first byte on, or ``none``.
    ``ca_file``: whom to trust in place of the system's authorities.
    """

    host: str = ""
    sender: Annotated[str, Meta(pattern=r"^([^@\s<>]+@[^@\s<>]+)?$")] = ""
    port: Annotated[int, Meta(ge=1, le=65535)] = 587
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    user: str = ""
    password: Secret = ""
    ca_file: ConfigPath | None = None
    name: str = "mail"


class SmtpChannel(Channel):
    """Sends a mail to one person, over a connection of its own."""

    personal = True

    def __init__(self, config: SmtpConfig) -> None:
        self.name = config.name
        self._config = config

    async def send(self, message: Message) -> Accepted:
        config = self._config
        context = None if config.tls == "none" else ssl.create_default_context(cafile=config.ca_file)
        client = aiosmtplib.SMTP(
            hostname=config.host, port=config.port, timeout=_LIMIT, tls_context=context,
            use_tls=config.tls == "implicit", start_tls=config.tls == "starttls",
        )  # fmt: skip
        try:
            await client.connect()
            if config.user:
                await client.login(config.user, config.password)
            await client.send_message(mail(message, config.sender), sender=config.sender, recipients=[message.to])
        except aiosmtplib.SMTPRecipientsRefused as exc:
            code = exc.recipients[0].code if exc.recipients else 0
            raise ChannelError(f"recipient-refused {code}", retryable=not 500 <= code < 600) from exc
        except aiosmtplib.SMTPDataError as exc:
            raise ChannelError(f"refused {exc.code}", retryable=not 500 <= exc.code < 600) from exc
        except aiosmtplib.SMTPResponseException as exc:
            # Who we are and how we speak: that is no fault of this message, and can be mended.
            raise ChannelError(f"{_kind(exc)} {exc.code}") from exc
        except (aiosmtplib.SMTPException, ssl.SSLError, OSError) as exc:
            raise ChannelError(_kind(exc)) from exc
        finally:
            # Whatever it says to a QUIT, or doesn't: it has taken the message, or it hasn't.
            client.close()
        return Accepted("250")


def _kind(exc: BaseException) -> str:
    return type(exc).__name__.removeprefix("SMTP")


def mail(message: Message, sender: str) -> EmailMessage:
    """Return the mail: however often it is sent, it has one Message-ID."""
    made = EmailMessage()
    made["From"] = sender
    made["To"] = message.to
    made["Subject"] = f"[{message.severity}] {message.subject}"
    made["Date"] = format_datetime(datetime.fromtimestamp(message.at, UTC))
    made["Message-ID"] = f"<{message.id}@{sender.rpartition('@')[2]}>"
    made["Auto-Submitted"] = "auto-generated"
    if message.severity == "critical":
        made["X-Priority"] = "1"
        made["Importance"] = "high"
    made.set_content("\n\n".join(_paragraphs(message)))
    return made


def _paragraphs(message: Message) -> Iterator[str]:
    if message.body:
        yield message.body
    if message.link:
        yield f"If you take care of it, say so here: {message.link}"
    yield f"Notification {message.key}, {message.topic}: tta notify acknowledge {message.key}"


class NotifySmtp(Plugin[SmtpConfig]):
    """Brings a channel that sends mail."""

    autoload = False

    @hookimpl(optionalhook=True)
    def notification_channels(self) -> Sequence[Channel]:
        return [SmtpChannel(self.config)]

    @hookimpl
    def check(self) -> Sequence[Problem]:
        config, where = self.config, "plugins.notify-smtp.config"
        found = []
        if not config.host or not config.sender:
            what = "mail needs a server, and an address that it is from"
            found.append(Problem(where, what, "say `host` and `sender`", deployment_only=True))
        if config.tls == "none" and config.user:
            found.append(
                Problem(f"{where}.tls", "the password would be sent in the clear", "say starttls, or implicit")
            )
        if bool(config.user) != bool(config.password):
            found.append(Problem(f"{where}.user", "`user` and `password` come together", deployment_only=True))
        if config.ca_file is not None and not config.ca_file.is_file():
            found.append(Problem(f"{where}.ca_file", "there is no such file", deployment_only=True))
        return found
