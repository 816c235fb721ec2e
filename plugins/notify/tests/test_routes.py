"""Notifications over HTTP: the operators' list, and the ways in which a human says that they have seen one."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from tta_http import ANONYMOUS, HttpPlugin, HttpProblem, Page, Principal
from tta_http.testing import EVERYTHING, Caller
from tta_kernel import Kernel
from tta_kernel.testing import running
from tta_notify import NOTIFY, Notification, NotifyLocal, NotifyMemory, NotifyPlugin
from tta_notify.routes import signature_of
from tta_notify.testing import RecordingChannel, bringing, eventually

pytestmark = pytest.mark.anyio
SECRET = "sixteen bytes and more"
ALARM = Notification(id="a", topic="crisis", severity="critical", subject="<b>a person</b> needs you", owner="u")
PROGRAM = Principal("pager", "key", permissions=frozenset({"*:*"}))


@pytest.fixture
def mail() -> RecordingChannel:
    return RecordingChannel()


@pytest.fixture
def pager() -> RecordingChannel:
    return RecordingChannel("pager", personal=False)


@pytest.fixture
async def kernel(mail: RecordingChannel, pager: RecordingChannel) -> AsyncIterator[Kernel]:
    config = {
        "need_humans": False, "roster": {"anna": {"addresses": {"mail": "anna@example.org"}}},
        "callback_secret": SECRET,
    }  # fmt: skip
    plugins = (NotifyPlugin, NotifyLocal, NotifyMemory, HttpPlugin, bringing(mail, pager))
    http = {"http": {"public_url": "https://tta.example.org"}}
    async with running(*plugins, config=config, configs=http) as kernel:
        await kernel.get(NOTIFY).notify(ALARM)
        await eventually(lambda: bool(mail.taken and pager.taken))
        yield kernel


async def test_they_are_listed_the_newest_first_and_by_status_without_whom_they_concern(kernel: Kernel) -> None:
    for number in range(3):
        await kernel.get(NOTIFY).notify(Notification(id=str(number), topic="t", severity="low", subject="s"))
    caller = Caller(kernel.hooks)
    first = await caller.get("/notifications?limit=3")
    second = await caller.get(f"/notifications?limit=3&cursor={first['next']}")
    assert [each["id"] for each in (*first["items"], *second["items"])] == ["2", "1", "0", "a"]
    assert second["next"] is None
    assert (await caller.get("/notifications?status=dead"))["items"] == []
    [shown] = second["items"]
    assert shown["deliveries"][0]["person"] == "anna"
    assert "owner" not in shown


async def test_a_person_acknowledges_in_their_own_name_and_a_program_for_somebody_of_the_roster(kernel: Kernel) -> None:
    for who, body in ((PROGRAM, {}), (PROGRAM, {"by": "pager"}), (ANONYMOUS, {"by": "mallory"})):
        with pytest.raises(HttpProblem, match="forbidden"):
            await Caller(kernel.hooks, who).post("/notifications/a/acknowledge", body)
    assert (await Caller(kernel.hooks).get("/notifications/a"))["acknowledged_by"] == ""
    shown = await Caller(kernel.hooks, PROGRAM).post("/notifications/a/acknowledge", {"by": "anna"})
    assert (shown["acknowledged_by"], shown["acknowledged_how"]) == ("anna", "api")
    # Who was first stays.
    again = await Caller(kernel.hooks, EVERYTHING).post(f"/notifications/{shown['key']}/acknowledge", {})
    assert again["acknowledged_by"] == "anna"


async def test_what_is_unknown_is_not_found(kernel: Kernel) -> None:
    for ask in (
        Caller(kernel.hooks).get("/notifications/b"),
        Caller(kernel.hooks).post("/notifications/b/acknowledge", {}),
    ):
        with pytest.raises(HttpProblem, match="not-found"):
            await ask


async def test_a_signed_callback_names_somebody_of_the_roster(kernel: Kernel) -> None:
    caller, now = Caller(kernel.hooks, ANONYMOUS), int(time.time())

    def signed(by: str = "anna", at: int = now, secret: str = SECRET) -> dict[str, object]:
        return {"id": "a", "by": by, "at": at, "signature": signature_of(secret, "a", at, by)}

    for body in (signed(secret="another secret of some length"), signed(at=now - 301), {**signed(), "by": "bert"}):
        with pytest.raises(HttpProblem, match="unauthenticated"):
            await caller.post("/notifications/callback", body)
    with pytest.raises(HttpProblem, match="forbidden"):
        await caller.post("/notifications/callback", signed(by="pager"))
    shown = await caller.post("/notifications/callback", signed())
    assert (shown["acknowledged_by"], shown["acknowledged_how"]) == ("anna", "callback")


async def test_to_follow_a_link_acknowledges_nothing_and_its_button_does_once(
    kernel: Kernel, mail: RecordingChannel
) -> None:
    caller, notifier = Caller(kernel.hooks, ANONYMOUS), kernel.get(NOTIFY)
    link = urlsplit(mail.taken[0].link)
    assert link.netloc == "tta.example.org"
    for _ in range(2):
        page = await caller.get(link.path)
        assert isinstance(page, Page)
        assert page.status == 200
        assert '<form method="post">' in page.html
        assert "&lt;b&gt;a person&lt;/b&gt;" in page.html
        entry = await notifier.get("a")
        assert entry is not None
        assert entry.acknowledgement is None
    page = await caller.post(link.path)
    assert "anna has acknowledged it" in page.html
    entry = await notifier.get("a")
    assert entry is not None
    assert entry.acknowledgement is not None
    assert (entry.acknowledgement.by, entry.acknowledgement.how) == ("anna", "link")
    for page in (await caller.post(link.path), await caller.get(link.path)):
        assert (page.status, "This link is over" in page.html) == (404, True)


async def test_a_link_that_is_nobody_s_in_particular_asks_for_a_name(kernel: Kernel, pager: RecordingChannel) -> None:
    caller = Caller(kernel.hooks, ANONYMOUS)
    path = urlsplit(pager.taken[0].link).path
    assert 'name="by"' in (await caller.get(path)).html
    assert (await caller.post(path)).status == 422
    assert "bert has acknowledged it" in (await caller.post(path, {"by": " bert "})).html


async def test_of_a_token_only_its_digest_is_kept(
    kernel: Kernel, mail: RecordingChannel, caplog: pytest.LogCaptureFixture
) -> None:
    token = urlsplit(mail.taken[0].link).path.rpartition("/")[2]
    entry = await kernel.get(NOTIFY).get("a")
    secret = token.partition(".")[2]
    assert secret not in repr(entry)
    assert secret not in caplog.text
    for wrong in (f"{token}x", f"{'0' * 32}.{secret}", secret, "x"):
        page = await Caller(kernel.hooks, ANONYMOUS).get(f"/notifications/link/{wrong}")
        assert page.status == 404
