from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from tta_http import (
    HttpPlugin,
    HttpProblem,
    Match,
    Nothing,
    Owned,
    Paged,
    Part,
    Principal,
    ProblemType,
    Route,
    RouteTable,
    Socket,
    Stream,
    Upgrade,
    cursor_after,
    declared,
    part_of,
    routes,
)
from tta_http.testing import Caller
from tta_kernel import Kernel, NoConfig, Plugin, hookimpl
from tta_kernel.errors import ConfigError
from tta_kernel.isolation import is_interrupt
from tta_kernel.testing.strangers import Outcome, Stranger, strangers


class Id(msgspec.Struct, frozen=True):
    id: str


class Found(msgspec.Struct, frozen=True):
    id: str


class Odd(msgspec.Struct, frozen=True):
    id: Mapping[str, int]
    text: str = ""


async def handler(request: Id, principal: Principal) -> Found:
    return Found(request.id)


def plain(request: Id, principal: Principal) -> Found:
    return Found(request.id)


def giving(request: Nothing, principal: Principal) -> Iterator[Found]:
    yield Found("7")


async def giving_later(request: Nothing, principal: Principal) -> AsyncIterator[Found]:
    yield Found("7")


def talking(request: Nothing, principal: Principal, socket: Socket) -> None: ...


async def needs_more(request: Id, principal: Principal, more: str) -> Found:
    return Found(request.id)


def route(path: str, method: Any = "GET", **others: Any) -> Route:
    request = Id if "{id}" in path else Nothing
    values = {"permission": "things:read", "request": request, "response": Found, "summary": "x", "handler": handler}
    return Route(method=method, path=path, **{**values, **others})


TABLE = RouteTable(
    Owned("things", each)
    for each in (
        route("/things"), route("/things", "POST"), route("/things/{id}"), route("/things/all"),
        route("/things/{id}/parts"), route("/"),
    )
)  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "path", "parameters"),
    [
        ("/things", "/things", {}),
        ("/things/7", "/things/{id}", {"id": "7"}),
        ("/things/all", "/things/all", {}),
        ("/things/all/parts", "/things/{id}/parts", {"id": "all"}),
        ("/things/a%2Fb", "/things/{id}", {"id": "a/b"}),
        ("/things/%C3%A4", "/things/{id}", {"id": "ä"}),
        ("/", "/", {}),
    ],
)
def test_a_path_finds_its_route(asked: str, path: str, parameters: dict[str, str]) -> None:
    found = TABLE.match("GET", asked)

    assert (found.plugin, found.route.path, found.parameters) == ("things", path, parameters)
    assert TABLE.match("HEAD", asked) == found


@pytest.mark.parametrize(
    "asked", ["/thing", "/things/", "/things//parts", "things", "//things", "*", "", "/things/%ff", "/things/%00",
              "/things/" + "a" * 257, "http://x/things"],
)  # fmt: skip
def test_what_is_no_path_of_ours_is_not_found(asked: str) -> None:
    with pytest.raises(HttpProblem, match="not-found"):
        TABLE.match("GET", asked)


def test_a_method_that_a_path_has_not_is_told_with_those_that_it_has() -> None:
    with pytest.raises(HttpProblem, match="method-not-allowed") as caught:
        TABLE.match("DELETE", "/things")
    assert caught.value.headers == {"Allow": "GET, HEAD, OPTIONS, POST"}
    assert TABLE.allowed("/things/7") == ["GET", "HEAD", "OPTIONS"]


@pytest.mark.parametrize("path", ["", "things", "/things/", "/{Id}", "/things/{id}x", "/a b", "/{id", "/a//b"])
def test_a_path_that_no_route_can_have_is_told(path: str) -> None:
    [problem, *_] = problems_of(one=offering(route(path, request=Id)))

    assert problem == f"plugin 'one': GET {path}: its path doesn't read like '/runs/{{id}}'"


def test_a_long_list_comes_in_parts_whose_cursors_lead_on() -> None:
    keys = [f"key-{n:02}" for n in range(7)]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        chosen, cursor = part_of(keys, Paged(limit=3, cursor=cursor))
        seen += chosen
    assert seen == keys


def test_a_cursor_that_nobody_gave_is_a_position_like_any_other() -> None:
    assert part_of(["a", "b"], Paged(cursor=cursor_after("aa"))) == (["b"], None)
    assert part_of(["a", "b"], Paged(cursor="ffff")) == ([], None)


def test_a_list_names_its_response() -> None:
    class FoundList(Part[Found], frozen=True):
        pass

    assert msgspec.json.encode(FoundList([Found("a")])) == b'{"items":[{"id":"a"}],"next":null}'


def offering(*offered: Route) -> type[Plugin[Any]]:
    class Offering(Plugin[NoConfig]):
        @hookimpl
        def routes(self) -> Sequence[Route]:
            return offered

    return Offering


def problems_of(**plugins: type[Plugin[Any]]) -> list[str]:
    try:
        Kernel(plugins={"http": HttpPlugin, **plugins}).check()
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


def test_routes_in_order_have_no_problems() -> None:
    assert problems_of(one=offering(route("/things"), route("/things/{id}"), route("/plain", handler=plain))) == []


@pytest.mark.parametrize("answering", [handler, plain])
async def test_a_handler_may_be_async_or_plain(answering: Any) -> None:
    kernel = Kernel(plugins={"http": HttpPlugin, "one": offering(route("/things/{id}", handler=answering))})

    assert await Caller(kernel.hooks).get("/things/7") == {"id": "7"}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (
            route("/a", permission="runs:*"),
            "a permission reads 'runs:read' or 'tools:execute:math.add', or is 'public'",
        ),
        (
            route("/a", problems=(ProblemType("Not Found", 404, "x"),)),
            "a problem has a code such as 'not-found', and a status from 400 to 599",
        ),
        (route("/a", summary=" "), "it has no summary"),
        (route("/a", timeout=0.0), "its timeout is no number of seconds, more than 0"),
        (route("/a", status=404), "its status is no success; a handler raises a problem instead"),
        (route("/{id}/{id}"), "two parameters of its path have one name"),
        (route("/{name}"), "its request Nothing has no field 'name', which stands in the path"),
        (route("/{id}", request=Odd), "'id' stands in the path, and is no text, number, truth or choice"),
        (route("/a", request=Odd), "'id' comes from the query, and is no text, number, truth, choice, or list of them"),
        (route("/a", reveals="text"), "its request has no bool 'text', which is to ask for people's text"),
        (route("/a", "POST", response=Stream()), "a stream or a socket is asked for by GET"),
        (route("/a", handler=giving), "its handler is a generator, as that of a stream alone may be"),
        (route("/a", handler=giving_later), "its handler is a generator, as that of a stream alone may be"),
        (
            route("/a", handler=talking, response=Upgrade()),
            "its handler is no async function, as that of a socket is",
        ),
        (route("/a", handler=needs_more), "its handler doesn't take the 2 arguments that it is called with"),
    ],
)
def test_a_route_that_cannot_be_served_is_told(wrong: Route, told: str) -> None:
    found = problems_of(one=offering(wrong))

    assert f"plugin 'one': {wrong.method} {wrong.path}: {told}" in found


def test_two_routes_at_one_place_are_told_with_both_plugins() -> None:
    [problem] = problems_of(one=offering(route("/things/{id}")), two=offering(route("/things/{id}")))

    assert problem == "plugin 'two': declares GET /things/{id}, and so does 'one'; disable one of them"


def test_one_route_twice_is_told() -> None:
    twice = offering(route("/things/{id}"), route("/things/{id}"))

    assert problems_of(one=twice) == ["plugin 'one': declares GET /things/{id} twice"]


@pytest.mark.boundary("tta_http.routes")
@pytest.mark.parametrize("stranger", strangers("plain", returns=Sequence[Route]), ids=str)
def test_a_plugin_whose_routes_are_strange_is_told_and_the_others_are_served(stranger: Stranger) -> None:
    class Strange(Plugin[NoConfig]):
        @hookimpl
        def routes(self) -> Any:
            return stranger()

    plugins: dict[str, type[Plugin[Any]]] = {"http": HttpPlugin, "one": offering(route("/things")), "strange": Strange}
    if stranger.outcome is Outcome.STOP:
        with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)) as caught:
            problems_of(**plugins)
        assert is_interrupt(caught.value)
        return
    found = problems_of(**plugins)
    if stranger.outcome is Outcome.FAILURE:
        assert any("'strange'" in problem for problem in found)
    assert declared(Kernel(plugins=plugins).hooks).match("GET", "/things") == Match("one", route("/things"), {})


def test_the_hook_is_the_capability_s_own() -> None:
    assert routes in HttpPlugin.hookspecs.__dict__.values()
