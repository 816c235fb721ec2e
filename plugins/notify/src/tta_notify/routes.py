"""What is asked for over HTTP: the operators' list, and acknowledging by person, by callback and by link."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tta_http import (
    FORBIDDEN,
    NOT_FOUND,
    PUBLIC,
    UNAUTHENTICATED,
    UNAVAILABLE,
    Html,
    Paged,
    Part,
    Principal,
    Route,
    cursor_after,
)
from tta_http import Page as HtmlPage

from . import page
from .links import PATH, find_link, key_in
from .model import LONGEST_ID, Entry, Link, Status
from .notifier import Notifier, UnknownNotification
from .outbox import OutboxError
from .views import DeliveryView, NotificationView, view

Id = Annotated[str, Meta(min_length=1, max_length=LONGEST_ID)]
Who = Annotated[str, Meta(max_length=200)]
CLOCK_SKEW = 300.0
"""How many seconds a callback's time may differ from ours."""
PEOPLE = ("oidc", "local")
"""Kinds of principals that are a person; all others say for whom of the roster they speak."""
EXAMPLE = NotificationView(
    key="0f" * 16, id="run-1:player:panic", topic="crisis", severity="critical", status="accepted",
    subject="a person needs you", body="", at=1767225600.0, repeats=0, tier=1, escalates_at=1767225900.0,
    acknowledged_by="", acknowledged_at=None, acknowledged_how="",
    deliveries=[DeliveryView("mail", "anna", 1, "accepted", 1, "250")],
)  # fmt: skip


class NotificationList(Part[NotificationView], frozen=True):
    """Notifications, the newest first: what operators work through."""


class AskNotifications(Paged, frozen=True, forbid_unknown_fields=True):
    """Which notifications: those of one status, or all."""

    status: Status | None = None


class Acknowledge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which notification, by its key or id; ``by``: whom of the roster a program speaks for, a person names nobody."""

    id: Id
    by: Who = ""


class Callback(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``by``, of the roster, has acknowledged it ``at``, in seconds; signed is ``id.at.by``, by HMAC-SHA256, in hex."""

    id: Id
    by: Annotated[str, Meta(min_length=1, max_length=200)]
    at: int
    signature: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Followed(msgspec.Struct, frozen=True):
    """A link that somebody has followed, and the name that they gave, if it is nobody's in particular."""

    token: Annotated[str, Meta(min_length=1, max_length=200)]
    by: Who = ""


def signature_of(secret: str, id: str, at: int, by: str) -> str:
    """Return how a callback is signed."""
    return hmac.new(secret.encode(), f"{id}.{at}.{by}".encode(), hashlib.sha256).hexdigest()


def notification_routes(notifier: Callable[[], Notifier]) -> Sequence[Route]:
    """Return the routes."""

    async def listed(request: AskNotifications, principal: Principal) -> NotificationList:
        found = await _told(notifier().page(request.after, request.limit, status=request.status))
        return NotificationList([view(each) for each in found.entries], _next(found.cursor))

    async def shown(request: Acknowledge, principal: Principal) -> NotificationView:
        entry = await _told(notifier().get(request.id))
        if entry is None:
            raise NOT_FOUND("there is no such notification")
        return view(entry)

    async def acknowledged(request: Acknowledge, principal: Principal) -> NotificationView:
        by = principal.name
        if principal.kind not in PEOPLE:
            # A key or a certificate is a program's, and what a program has seen no human has.
            by = request.by
            if by not in notifier().config.roster:
                raise FORBIDDEN("a program says by whom of the roster it was acknowledged")
        return view(await _told(notifier().acknowledge(request.id, by, "api")))

    async def called_back(request: Callback, principal: Principal) -> NotificationView:
        config = notifier().config
        wanted = signature_of(config.callback_secret, request.id, request.at, request.by)
        is_signed = bool(config.callback_secret) and hmac.compare_digest(wanted, request.signature)
        if not is_signed or abs(notifier().clock.now() - request.at) > CLOCK_SKEW:
            raise UNAUTHENTICATED("the signature is wrong, or too old")
        if request.by not in config.roster:
            raise FORBIDDEN("whoever acknowledges is one of the roster")
        return view(await _told(notifier().acknowledge(request.id, request.by, "callback")))

    async def looked(request: Followed, principal: Principal) -> HtmlPage:
        entry, link = await _followed(notifier(), request.token)
        if entry is None or link is None:
            return HtmlPage(page.over(), status=404)
        return HtmlPage(page.done(entry) if entry.acknowledgement else page.asking(entry, link))

    async def pressed(request: Followed, principal: Principal) -> HtmlPage:
        entry, link = await _followed(notifier(), request.token)
        if entry is None or link is None:
            return HtmlPage(page.over(), status=404)
        by = link.person or request.by.strip()
        if not by:
            return HtmlPage(page.nameless(), status=422)
        return HtmlPage(page.done(await _told(notifier().acknowledge(entry.key, by, "link", used=link))))

    return [
        Route(
            method="GET", path="/notifications", permission="notifications:read", request=AskNotifications,
            response=NotificationList, summary="List what humans were told, the newest first.", handler=listed,
            example=NotificationList([EXAMPLE]),
        ),
        Route(
            method="POST", path="/notifications/callback", permission=PUBLIC, request=Callback,
            response=NotificationView, summary="Say, signed, that a person of the roster has acknowledged it.",
            handler=called_back, problems=(NOT_FOUND, UNAUTHENTICATED, FORBIDDEN), example=EXAMPLE,
        ),
        Route(
            method="GET", path=f"{PATH}/{{token}}", permission=PUBLIC, request=Followed, response=Html((200, 404)),
            summary="Show what a link is about; that acknowledges nothing.", handler=looked,
        ),
        Route(
            method="POST", path=f"{PATH}/{{token}}", permission=PUBLIC, request=Followed,
            response=Html((200, 404, 422)), summary="Acknowledge it, by the button of that page.", handler=pressed,
        ),
        Route(
            method="GET", path="/notifications/{id}", permission="notifications:read", request=Acknowledge,
            response=NotificationView, summary="Show a notification, and what became of it.", handler=shown,
            problems=(NOT_FOUND,), example=EXAMPLE,
        ),
        Route(
            method="POST", path="/notifications/{id}/acknowledge", permission="notifications:acknowledge",
            request=Acknowledge, response=NotificationView, summary="Say that a human has seen it.",
            handler=acknowledged, problems=(NOT_FOUND, FORBIDDEN), example=EXAMPLE,
        ),
    ]  # fmt: skip


async def _followed(notifier: Notifier, token: str) -> tuple[Entry | None, Link | None]:
    key = key_in(token)
    entry = await _told(notifier.get(key)) if key else None
    return entry, find_link(entry.links, token, notifier.clock.now()) if entry is not None else None


def _next(cursor: str) -> str | None:
    return cursor_after(cursor) if cursor else None


async def _told(answer: Awaitable[Any]) -> Any:
    try:
        return await answer
    except UnknownNotification:
        raise NOT_FOUND("there is no such notification") from None
    except OutboxError:
        raise UNAVAILABLE("the outbox can't be used") from None
