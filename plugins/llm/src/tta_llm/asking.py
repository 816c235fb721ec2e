"""Questions to a backend that have one answer: which models there are, and what texts mean."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import anyio

from tta_kernel import as_failure

from .errors import LlmError
from .listening import told
from .models import LONGEST_NAME, Embedded, ModelInfo, Models

_MOST_MODELS = 10_000
_MOST_DIMENSIONS = 65_536


async def model_names(models: Models, limit: float) -> Sequence[str]:
    """Return the names of a backend's models, sorted, each once."""
    found = await _answer(models.list, "list", limit, _are_models)
    return sorted({cast(ModelInfo, each).name for each in found})


async def vectors(models: Models, model: str, texts: Sequence[str], limit: float) -> Sequence[Sequence[float]]:
    """Return one vector for each text."""

    def are_right(answer: Any) -> bool:
        return isinstance(answer, Embedded) and _are_vectors(answer.vectors, len(texts))

    answer = await _answer(lambda: models.embed(model, texts), "embed", limit, are_right)
    return cast(Embedded, answer).vectors


async def _answer(
    ask: Callable[[], Awaitable[Any]], what: str, limit: float, is_right: Callable[[Any], bool]
) -> Any:  # fmt: skip
    error: LlmError | None = None
    with anyio.CancelScope(deadline=anyio.current_time() + limit):
        try:
            answer = await ask()
            if is_right(answer):
                return answer
            error = LlmError("unavailable", f"the backend's {what} gave what is wrong", retryable=False)
        except BaseException as exc:  # noqa: BLE001 - `as_failure` raises what must go on
            failure = as_failure(exc)
            error = told(failure, exc, f"the backend's {what}")
            error.__cause__ = failure
    raise error or LlmError("timed_out", f"the backend's {what} gave nothing within {limit:g} s")


def _are_models(answer: Any) -> bool:
    return (
        isinstance(answer, list | tuple)
        and len(answer) <= _MOST_MODELS
        and all(isinstance(each, ModelInfo) and _is_name(each.name) for each in answer)
    )


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and "/" in name and len(name) <= LONGEST_NAME and name.isprintable()


def _are_vectors(found: Any, number: int) -> bool:
    if not isinstance(found, list | tuple) or len(found) != number:
        return False
    if not all(isinstance(each, list | tuple) and 0 < len(each) <= _MOST_DIMENSIONS for each in found):
        return False
    if len({len(each) for each in found}) > 1:
        return False
    return all(isinstance(one, int | float) and math.isfinite(one) for each in found for one in each)
