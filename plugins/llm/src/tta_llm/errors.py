"""What goes wrong with a model, in one word each; never a person's text, nor a server's."""

from __future__ import annotations

from typing import Literal, cast, get_args

from tta_agents import AgentError

Code = Literal[
    "unavailable", "timed_out", "rate_limited", "over_budget", "invalid_output", "invalid_request", "refused",
    "too_large", "broken_stream", "denied",
]  # fmt: skip
CODES: frozenset[str] = frozenset(get_args(Code))
AGAIN: frozenset[str] = frozenset({"unavailable", "timed_out", "rate_limited", "broken_stream"})
"""Nothing is wrong with the request: later, or elsewhere, it may be answered."""


class LlmError(AgentError):
    """A model didn't answer; an agent that lets it through has failed with this code.

    ``retryable``: asking again may help, after ``retry_after`` seconds where that is known. ``reached`` is False where
    no server can have worked on the request, so that nothing is to be paid.
    """

    def __init__(
        self, code: Code, detail: str = "", *, retryable: bool | None = None, retry_after: float | None = None,
        reached: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(code, detail, retryable=code in AGAIN if retryable is None else retryable)
        self.retry_after, self.reached = retry_after, reached

    def again(self) -> LlmError:
        """Return an equal error to raise anew."""
        return LlmError(
            cast(Code, self.code), self.detail, retryable=self.retryable, retry_after=self.retry_after,
            reached=self.reached,
        )  # fmt: skip
