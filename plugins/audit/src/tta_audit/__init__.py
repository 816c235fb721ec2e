"""Who did what: a record that is only ever added to, and that shows where somebody has changed it."""

from __future__ import annotations

from .chain import BEGAN, DROPPED, Chain, Link, Scan, chain_name, link_of, read_line, scan, verdicts
from .files import FileAudit, Limits
from .memory import MemoryAudit, matches, stamped
from .model import AUDIT, Audit, AuditError, Entry, Outcome, Record, Verdict, position
from .people import new_secret, place_of, pseudonym_of
from .plugin import AuditFile, AuditMemory, AuditPlugin
from .showing import INSPECT

__all__ = [
    "AUDIT", "BEGAN", "DROPPED", "INSPECT", "Audit", "AuditError", "AuditFile", "AuditMemory", "AuditPlugin", "Chain",
    "Entry", "FileAudit", "Limits", "Link", "MemoryAudit", "Outcome", "Record", "Scan", "Verdict", "chain_name",
    "link_of", "matches", "new_secret", "place_of", "position", "pseudonym_of", "read_line", "scan", "stamped",
    "verdicts",
]  # fmt: skip
