"""The contracts of workflows: what a journal keeps."""

from .journal import JournalContract, Passing

__all__ = ["JournalContract", "Passing"]
