from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_http import HttpProblem, Method, Nothing, Principal, Route, bind, bind_form


class Ask(msgspec.Struct, frozen=True):
    id: int = 0
    state: Literal["open", "closed"] = "open"
    tags: Sequence[str] = ()
    limit: Annotated[int, msgspec.Meta(ge=1, le=9)] = 5
    deep: bool = False


async def handler(request: Ask, principal: Principal) -> Ask:
    return request


def route(method: Method, path: str = "/things/{id}", request: type[msgspec.Struct] = Ask) -> Route:
    return Route(
        method=method, path=path, permission="things:read", request=request, response=Ask, summary="x", handler=handler
    )


def refused(problem: HttpProblem) -> tuple[str, str]:
    return problem.type.code, "; ".join(f"{each.field}: {each.detail}" for each in problem.errors)


def test_a_request_without_a_body_is_filled_from_path_and_query() -> None:
    query = [("state", "closed"), ("tags", "a"), ("tags", "b"), ("deep", "true")]

    assert bind(route("GET"), {"id": "7"}, query) == Ask(7, "closed", ["a", "b"], deep=True)


def test_a_request_with_a_body_is_filled_from_path_and_body() -> None:
    assert bind(route("POST"), {"id": "7"}, body=b'{"limit": 3}') == Ask(7, limit=3)


@pytest.mark.parametrize("body", [None, b""])
def test_no_body_is_an_empty_one(body: bytes | None) -> None:
    assert bind(route("POST"), {"id": "7"}, body=body) == Ask(7)


def test_a_form_is_read_as_a_query_is() -> None:
    assert bind_form(route("POST"), {"id": "7"}, [("limit", "3"), ("tags", "a")]) == Ask(7, tags=["a"], limit=3)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ([("stat", "open")], ": there is an unknown name; known are: state, tags, limit, deep"),
        ([("id", "8")], ": there is an unknown name; known are: state, tags, limit, deep"),
        ([("state", "open"), ("state", "closed")], "state: is there more than once"),
        ([("state", "SECRET")], "state: is none of the values that are possible"),
        ([("limit", "10")], "limit: expected int <= 9"),
        ([("limit", "SECRET")], "limit: expected int"),
        ([("deep", "SECRET")], "deep: expected bool"),
    ],
)
def test_a_query_that_does_not_fit_is_told_without_what_it_says(query: list[tuple[str, str]], told: str) -> None:
    with pytest.raises(HttpProblem) as caught:
        bind(route("GET"), {"id": "7"}, query)

    assert refused(caught.value) == ("invalid", told)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "bad-request"),
        (b"\xff\xfe", "bad-request"),
        (b"[" * 100_000, "bad-request"),
        (b"[]", "invalid"),
        (b'{"limit": "3"}', "invalid"),
        (b'{"id": 8}', "invalid"),
        (b'{"SECRET": 1}', "invalid"),
        (b'{"state": "SECRET"}', "invalid"),
    ],
)
def test_a_body_that_does_not_fit_is_refused_without_what_it_says(body: bytes, code: str) -> None:
    with pytest.raises(HttpProblem) as caught:
        bind(route("POST"), {"id": "7"}, body=body)

    assert caught.value.type.code == code
    assert "SECRET" not in str(caught.value.details())


def test_a_parameter_of_the_path_that_does_not_fit_is_refused() -> None:
    for method in ("GET", "POST"):
        with pytest.raises(HttpProblem) as caught:
            bind(route(method), {"id": "SECRET"})
        assert refused(caught.value)[0] == "invalid"
        assert "SECRET" not in str(caught.value.details())


def test_a_body_is_refused_where_none_is_read_and_a_query_where_there_is_a_body() -> None:
    with pytest.raises(HttpProblem, match="bad-request"):
        bind(route("GET"), {"id": "7"}, body=b"{}")
    with pytest.raises(HttpProblem, match="invalid"):
        bind(route("POST"), {"id": "7"}, [("limit", "3")])


def test_a_route_that_takes_nothing_takes_nothing() -> None:
    assert bind(route("GET", "/things", Nothing), {}) == Nothing()
    with pytest.raises(HttpProblem, match="invalid"):
        bind(route("GET", "/things", Nothing), {}, [("a", "b")])


@given(st.binary(max_size=200) | st.recursive(st.text() | st.integers(), st.lists).map(msgspec.json.encode))
def test_whatever_the_body_is_it_fits_or_is_a_problem(body: bytes) -> None:
    status = 200
    try:
        bind(route("POST"), {"id": "7"}, body=body)
    except HttpProblem as problem:
        status = problem.type.status
    assert status in (200, 400, 422)
