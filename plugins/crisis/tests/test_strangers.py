"""Whatever a store, or a service, does instead of answering is a `CrisisError`, in time."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tta_crisis import CrisisError, CrisisPage, CrisisQuery, NoSuchIntervention, guard, guard_crises
from tta_kernel.testing.strangers import LIMIT, Outcome, Stranger, strangers


class Odd:
    """A store, or a service, of which one call is a stranger's."""

    durable = True

    def __init__(self, stranger: Stranger) -> None:
        self._stranger = stranger

    def page(self, query: CrisisQuery) -> Any:
        return self._stranger()


@pytest.mark.boundary(
    "tta_crisis.CrisisStore", "tta_crisis.guard.store", "tta_crisis.Crises", "tta_crisis.guard_crises.crises"
)
@pytest.mark.parametrize("guarded", [guard, guard_crises])
@pytest.mark.parametrize("stranger", strangers("async", returns=CrisisPage), ids=str)
async def test_whatever_is_behind_a_guard_answers_in_time_or_with_an_error(stranger: Stranger, guarded: Any) -> None:
    found = guarded(cast(Any, Odd(stranger)), limit=LIMIT)
    if stranger.outcome is Outcome.STOP:
        with pytest.raises(BaseException) as caught:  # noqa: PT011 - whichever it is, it is an interrupt
            await found.page(CrisisQuery())
        assert not isinstance(caught.value, CrisisError)
        return
    answer: object = None
    try:
        answer = await found.page(CrisisQuery())
    except CrisisError as exc:
        answer = str(exc)
    if stranger.outcome is Outcome.FAILURE:
        assert isinstance(answer, str)
        assert "after a while" not in answer
    else:
        assert isinstance(answer, str | CrisisPage)


async def test_that_there_is_no_intervention_is_an_answer_behind_a_guard_too() -> None:
    class Empty:
        async def acknowledge(self, id: str, *, by: str) -> Any:
            raise NoSuchIntervention(id)

    with pytest.raises(NoSuchIntervention):
        await guard_crises(cast(Any, Empty())).acknowledge("i", by="dr b")
