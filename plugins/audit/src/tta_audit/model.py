"""A record of who did what: what is told, what is kept, and the service that keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from tta_kernel import Service

Outcome = Literal["done", "refused", "failed"]
"""It was done; or somebody who may not was refused, and nothing has changed; or it failed, and something may have."""


Detail = str | float | Sequence[str]
MOST_DETAILS = 20
"""How many details an entry has, and how many words a detail."""


class AuditError(Exception):
    """What was told could not be recorded, or what is recorded can't be read."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of a deed: no text of a person, and no text that a caller could choose freely.

    ``what``: the deed, such as ``runs.cancel``. ``who`` and ``kind``: the principal's. ``target``: the identifier of
    what it was done to. ``code``: why it was refused or failed, as a word that stays. ``owner``: the person whom it
    concerns; of that only a pseudonym is kept. Without a correlation identifier it has that of the running task.
    ``details``: up to `MOST_DETAILS` more words, numbers and lists of words, by the names of OpenTelemetry's
    conventions where these have one.
    """

    what: str
    who: str
    kind: str
    outcome: Outcome
    target: str = ""
    code: str = ""
    owner: str = ""
    address: str = ""
    correlation_id: str = ""
    details: Mapping[str, Detail] = {}


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept, as a line of JSON; the names are those of OpenTelemetry's conventions where these have one.

    Records of one ``chain`` are numbered from 1 up. ``previous`` is the digest of the one before, and ``digest`` that
    of this one, which covers ``previous``: so none can be changed, put in or taken out without a trace. ``owner`` is an
    HMAC under a key of this person's own; when that is erased, nobody can tell any more whose it is.
    """

    v: int
    chain: str
    number: int
    at: float = msgspec.field(name="timestamp")
    what: str = msgspec.field(name="event.name")
    who: str = msgspec.field(name="user.name")
    kind: str = msgspec.field(name="user.kind")
    outcome: Outcome
    target: str = ""
    code: str = msgspec.field(default="", name="error.type")
    owner: str = ""
    address: str = msgspec.field(default="", name="client.address")
    correlation_id: str = ""
    details: Mapping[str, Detail] = {}
    previous: str = ""
    digest: str = ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a chain.

    ``whole``: every record is there, from the first, or from where older ones were dropped and their dropping was
    recorded. ``torn``: whole, but for half a record at its end, as a crash leaves one. ``broken``: somebody has changed
    it, or it is damaged; ``why`` says where. ``head`` is the digest of the last good record: kept elsewhere, it shows
    that nothing was cut off at the end.
    """

    chain: str
    status: Literal["whole", "torn", "broken"]
    first: int
    last: int
    head: str = ""
    why: str = ""


class Audit(Protocol):
    """A record that is only ever added to; its calls raise `AuditError`."""

    async def record(self, entry: Entry) -> None:
        """Keep an entry; it returns when the entry would outlive this process, or as the provider's config says."""

    async def record_all(self, entries: Sequence[Entry]) -> None:
        """Keep several entries, in their order, at the cost of little more than one; as `record` otherwise.

        Where it raises, some may be kept and others not.
        """

    async def read(
        self, *, limit: int = 100, before: str = "", who: str = "", what: str = "", owner: str = ""
    ) -> Sequence[Record]:
        """Return records, the newest first; ``before`` is the `position` of the last one of a page.

        ``who`` and ``what`` are as in the record; ``what`` may end in ``.*``. ``owner`` is a person, whose pseudonym
        is looked for.
        """

    async def verify(self) -> Sequence[Verdict]:
        """Look at every chain, from end to end."""

    async def forget(self, user: str) -> int:
        """Erase the key under which a person stands in the records; return how many were erased. The chains stay."""


def position(record: Record) -> str:
    """Return where a record stands among all of them, for `Audit.read`."""
    return f"{record.at:020.6f}/{record.chain}/{record.number:012}"


AUDIT = Service[Audit]("audit")
