"""What is told of models after the fact: names, codes and numbers, never a text."""

from __future__ import annotations

from typing import ClassVar

from tta_kernel import Event


class LlmCalled(Event, frozen=True, tag="llm.called"):
    """One request to one model has ended; ``code`` is empty where it was answered, ``cancelled`` where its asker left.

    ``first`` is how many seconds its first piece took, 0 where none came; ``cost`` is in millionths of the
    deployment's unit of money. One without an owner is for operators.
    """

    __shown__: ClassVar = ("model", "code")

    model: str
    code: str
    seconds: float
    first: float = 0.0
    prompt: int = 0
    completion: int = 0
    cost: int = 0
    agent: str = ""
    session: str = ""
    owner: str = ""
