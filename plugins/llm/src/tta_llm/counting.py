"""What is counted of models in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tta_metrics import Metrics

from .events import LlmCalled


@contextmanager
def counted(metrics: Metrics | None) -> Iterator[None]:
    """Count requests in this process, where somebody counts, for as long as the block."""
    if metrics is None:
        yield
        return
    calls = metrics.counter(
        "tta_llm_calls_total", "requests to models by how they ended: ok, or the code of an error",
        labels=("model", "code"),
    )  # fmt: skip
    tokens = metrics.counter("tta_llm_tokens_total", "tokens of requests to models", labels=("model", "kind"))
    cost = metrics.counter(
        "tta_llm_cost_total", "what requests have cost, in the deployment's unit of money", labels=("model",)
    )  # fmt: skip
    seconds = metrics.histogram("tta_llm_call_duration_seconds", "how long requests took", labels=("model",))
    first = metrics.histogram(
        "tta_llm_first_piece_seconds", "how long the first piece of an answer took", labels=("model",)
    )  # fmt: skip

    def count(event: LlmCalled) -> None:
        model = event.model
        calls.labels(model, event.code or "ok").inc()
        tokens.labels(model, "prompt").inc(event.prompt)
        tokens.labels(model, "completion").inc(event.completion)
        cost.labels(model).inc(event.cost / 1_000_000)
        seconds.labels(model).observe(event.seconds)
        if event.first:
            first.labels(model).observe(event.first)

    with metrics.follow(LlmCalled, count):
        yield
