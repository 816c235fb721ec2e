"""The contract that every implementation of `Messages` passes."""

from __future__ import annotations

from .admin import AdminContract
from .asking import AskingContract
from .leasing import LeasesContract
from .receiving import ReceivingContract
from .sending import SendingContract


class MessagesContract(SendingContract, ReceivingContract, LeasesContract, AdminContract, AskingContract):
    """Subclass this, and give a fixture ``messages``: an `Open`.

    The tests take real, short times, since a store has a clock of its own; none fails because
    something takes longer.
    """
