"""The channel that posts to an address, signed as Standard Webhooks are: https://www.standardwebhooks.com."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import time
from collections.abc import Mapping, Sequence

import msgspec

from tta_kernel import Plugin, Problem, Secret, hookimpl

from .channels import Accepted, Channel, ChannelError, Message

_FOR_GOOD = frozenset({400, 410, 413, 422})
"""What such a receiver says of this message; all else, such as a wrong key, can be mended in time."""
_LOCAL = re.compile(r"http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?(/|$)")


class Endpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where to post, and the secret that both sides know, as it is or as ``whsec_…``."""

    url: Secret
    secret: Secret


class WebhookConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Channels by their names."""

    channels: Mapping[str, Endpoint] = {}


class WebhookChannel(Channel):
    """Posts a message as JSON; the header ``webhook-id`` stays the same however often it is sent."""

    personal = False

    def __init__(self, name: str, endpoint: Endpoint) -> None:
        self.name = name
        self._endpoint = endpoint

    async def send(self, message: Message) -> Accepted:
        import aiohttp  # It is slow to import, and most commands tell nobody.

        body = msgspec.json.encode(message)
        at = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message.id,
            "webhook-timestamp": str(at),
            "webhook-signature": signature_of(self._endpoint.secret, message.id, at, body),
        }
        try:
            async with (
                aiohttp.ClientSession(auto_decompress=False) as session,
                # Where config says, and nowhere else.
                session.post(self._endpoint.url, data=body, headers=headers, allow_redirects=False) as answer,
            ):
                status = answer.status
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            # Nothing of its text: it holds the address, which can be a secret.
            raise ChannelError(type(exc).__name__) from None
        if 200 <= status < 300:
            return Accepted(str(status))
        raise ChannelError(f"HTTP {status}", retryable=status not in _FOR_GOOD)


def signature_of(secret: str, id: str, at: int, body: bytes) -> str:
    """Return the header ``webhook-signature``."""
    key = base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()
    digest = hmac.new(key, f"{id}.{at}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


class NotifyWebhook(Plugin[WebhookConfig]):
    """Brings channels that post to an address."""

    autoload = False

    @hookimpl(optionalhook=True)
    def notification_channels(self) -> Sequence[Channel]:
        return [WebhookChannel(name, endpoint) for name, endpoint in self.config.channels.items()]

    @hookimpl
    def check(self) -> Sequence[Problem]:
        found = []
        for name, endpoint in self.config.channels.items():
            where = f"plugins.notify-webhook.config.channels.{name:.100}"
            if not endpoint.url.startswith("https://") and not _LOCAL.match(endpoint.url):
                found.append(Problem(f"{where}.url", "isn't https, which only this machine itself may do without"))
            if not _is_secret(endpoint.secret):
                found.append(Problem(f"{where}.secret", "is no text of 16 characters or more, nor whsec_ and base64"))
        return found


def _is_secret(secret: str) -> bool:
    if not secret.startswith("whsec_"):
        return len(secret) >= 16
    try:
        return len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) >= 16
    except binascii.Error:
        return False
