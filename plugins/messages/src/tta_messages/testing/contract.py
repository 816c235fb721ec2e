"""The contract that every implementation of `Messages` passes."""

from __future__ import annotations

from .admin import AdminContract
from .asking import AskingContract
from .leasing import LeasesContract
from .receiving import ReceivingContract
from .sending import SendingContract
from .sharing import SharingContract


class SingleProcessMessagesContract(SendingContract, ReceivingContract, LeasesContract, AdminContract, AskingContract):
    """Subclass this for messages that no two processes share, and give a fixture ``messages``: an `Open`.

    The tests take real, short times, since a store has a clock of its own; none fails because
    something takes longer.
    """


class MessagesContract(SharingContract, SingleProcessMessagesContract):
    """Subclass this for messages that processes share: it is the whole contract.

    Beside ``messages`` it takes ``shared``, a `Shared` that opens one empty store, again and again.
    """
