"""What a server has wrong reaches a store's callers as the store's own error, and nothing else does."""

from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from tta_redis import RedisDown, StoreErrors


class StoreError(Exception):
    """What a store raises."""


ERRORS = StoreErrors(lambda exc: StoreError(f"the store: {exc}"))


@pytest.mark.parametrize("exc", [RedisDown("no answer"), ResponseError("no answer")])
@pytest.mark.parametrize("among", [(), (KeyError("x"),)])
def test_what_a_server_has_wrong_becomes_the_store_s_own_error(exc: Exception, among: tuple[Exception, ...]) -> None:
    for raised in (exc, ExceptionGroup("tasks", [*among, exc])):
        with pytest.raises(StoreError, match=r"the store: (Redis: )?no answer") as caught, ERRORS:
            raise raised
        assert caught.value.__cause__ is raised


@pytest.mark.parametrize(
    "exc",
    [
        KeyError("x"),
        ExceptionGroup("tasks", [KeyError("x")]),
        # Whoever interrupts the program isn't told that a store is away.
        BaseExceptionGroup("tasks", [KeyboardInterrupt(), RedisDown("no answer")]),
    ],
)
def test_anything_else_stays_what_it_is(exc: BaseException) -> None:
    with pytest.raises(type(exc)) as caught, ERRORS:
        raise exc
    assert caught.value is exc
