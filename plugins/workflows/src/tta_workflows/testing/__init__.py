"""The contracts of workflows, what a journal keeps and how runs go, and fakes to test them with."""

from .entrance import EntranceContract
from .fakes import Call, Cut, FakeAgents, Processes, VirtualClock, echo, failing, workflow
from .journal import JournalContract, Passing
from .workflows import WorkflowsContract

__all__ = [
    "Call", "Cut", "EntranceContract", "FakeAgents", "JournalContract", "Passing", "Processes", "VirtualClock",
    "WorkflowsContract", "echo", "failing", "workflow",
]  # fmt: skip
