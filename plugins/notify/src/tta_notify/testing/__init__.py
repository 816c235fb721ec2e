"""The contract that every outbox passes, and what tests of notifications need."""

from __future__ import annotations

from .channels import RecordingChannel, bringing
from .clock import HeldClock
from .eventually import eventually
from .outbox import OutboxContract, Passing, entry

__all__ = ["HeldClock", "OutboxContract", "Passing", "RecordingChannel", "bringing", "entry", "eventually"]
