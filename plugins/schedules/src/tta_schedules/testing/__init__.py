"""The contract of stores of schedules, and fakes to test schedules with."""

from .fakes import FakeWorkflows, until
from .store import Passing, ScheduleStoreContract

__all__ = ["FakeWorkflows", "Passing", "ScheduleStoreContract", "until"]
