"""Handlers of strangers: that answer says so, and the others stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import anyio
import pytest

from tta_http import Content, Html, Media, Nothing, Page, Stream
from tta_kernel.isolation import is_interrupt
from tta_kernel.testing.strangers import LIMIT, Outcome, Stranger, strangers

from .deployment import Serve, Told, route

FORMS: dict[str, tuple[Any, Any]] = {
    "json": (Told, Told),
    "media": (Media(), Content),
    "html": (Html(), Page),
}


KINDS: Sequence[Literal["async", "plain"]] = ("async", "plain")


def misbehaving(stranger: Stranger, form: Any, *, plain: bool = False) -> Any:
    async def waiting(request: Any, principal: Any, kind: str = "") -> Any:
        return await stranger()

    def at_once(request: Any, principal: Any, kind: str = "") -> Any:
        return stranger()

    handler = at_once if plain else waiting
    return route("/strange", request=Nothing, response=form, handler=handler, timeout=LIMIT)


async def strange(serve: Serve, stranger: Stranger, form: Any, *, plain: bool = False) -> tuple[int, str]:
    """Ask a stranger, and a neighbour afterwards."""
    async with serve(misbehaving(stranger, form, plain=plain), route()) as deployment:
        answer = await deployment.get("/strange")
        neighbour = await deployment.get("/things/7")
        assert neighbour.status == 200
        return answer.status, answer.code if answer.status >= 400 else ""


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "stranger", [each for each in strangers("async", returns=Told) if each.outcome is not Outcome.STOP], ids=str
)
async def test_a_strange_handler_costs_its_own_answer_alone(serve: Serve, stranger: Stranger, form: str) -> None:
    status, code = await strange(serve, stranger, FORMS[form][0])

    if stranger.outcome is Outcome.FAILURE:
        assert (status, code) == (500, "failed")
    elif stranger.outcome is Outcome.TIME_LIMIT:
        assert (status, code) == (504, "late")
    else:
        assert (status, code) in [(200, ""), (500, "failed"), (504, "late")]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "stranger", [each for each in strangers("plain", returns=Told) if each.outcome is not Outcome.STOP], ids=str
)
async def test_a_strange_plain_handler_costs_its_own_answer_alone(serve: Serve, stranger: Stranger, form: str) -> None:
    status, code = await strange(serve, stranger, FORMS[form][0], plain=True)

    if stranger.outcome is Outcome.FAILURE:
        assert (status, code) == (500, "failed")
    else:
        assert (status, code) in [(200, ""), (500, "failed")]


@pytest.mark.parametrize(
    ("stranger", "plain"),
    [
        pytest.param(each, kind == "plain", id=f"{kind}, {each}")
        for kind in KINDS
        for each in strangers(kind, returns=Told)
        if each.outcome is Outcome.STOP
    ],
)
async def test_an_interrupt_in_a_handler_stops_all_in_order(serve: Serve, stranger: Stranger, plain: bool) -> None:
    with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)) as caught:  # noqa: PT012 - it ends the block
        async with serve(misbehaving(stranger, Told, plain=plain)) as deployment:
            await deployment.get("/strange")
            await anyio.sleep_forever()

    assert is_interrupt(caught.value)


STREAMS = [
    each
    for each in strangers("stream", returns=bytes)
    # After its first piece a stream may be silent for as long as it likes; what happens as it is closed is logged.
    if each.outcome is not Outcome.STOP
    and each.name not in ("after a piece: never returns", "yields while it is closed")
]


@pytest.mark.parametrize("stranger", STREAMS, ids=str)
async def test_a_strange_stream_breaks_off_and_the_others_stand(serve: Serve, stranger: Stranger) -> None:
    def handler(request: Any, principal: Any) -> Any:
        return stranger()

    flowing = route("/strange", request=Nothing, response=Stream(), handler=handler, timeout=LIMIT)
    async with serve(flowing, route()) as deployment:
        answer = await deployment.send(b"GET /strange HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert (await deployment.get("/things/7")).status == 200

    whole = answer.endswith(b"0\r\n\r\n") or b"Content-Length" in answer
    if stranger.outcome is Outcome.FAILURE:
        assert not whole or b" 500 " in answer.split(b"\r\n")[0]
    elif stranger.outcome is Outcome.TIME_LIMIT:
        assert not whole or b" 504 " in answer.split(b"\r\n")[0]


async def test_what_a_handler_raises_is_logged_and_told_to_nobody(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(request: Any, principal: Any) -> Told:
        raise ValueError("SECRET")

    async with serve(route("/strange", request=Nothing, handler=handler)) as deployment:
        answer = await deployment.get("/strange")

    assert answer.json["detail"] == "plugin 'things' failed to answer; its log says why"
    assert "raised ValueError at" in caplog.text
    assert "SECRET" not in caplog.text
    assert b"SECRET" not in answer.body


async def test_a_struct_with_a_wrong_field_is_a_failure(serve: Serve) -> None:
    async def handler(request: Any, principal: Any) -> Told:
        return Told(7)  # type: ignore[arg-type]

    async with serve(route("/strange", request=Nothing, handler=handler)) as deployment:
        assert (await deployment.get("/strange")).code == "failed"
