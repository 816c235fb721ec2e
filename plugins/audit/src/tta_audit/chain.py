"""Chains of records: each line holds the digest of the one before, and its own.

A digest is taken of a line's very bytes, up to where it stands itself. So verifying needs no canonical form of JSON,
and a release that knows more fields can verify what an older one has written, and the other way round.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from .model import Record, Verdict

_DIGEST = re.compile(rb',"digest":"([0-9a-f]{64})"\}')
_LENGTH = len(b',"digest":""}') + 64
BEGAN = "audit.began"
"""The first record of a chain: its target is the `Link` to another chain as it stood then, if there was one."""
DROPPED = "audit.dropped"
"""Older records were dropped as config says: the target is the `Link` to the last of them."""


class Link(NamedTuple):
    """A record of some chain, and its digest."""

    chain: str
    number: int
    digest: str

    def __str__(self) -> str:
        return f"{self.chain}:{self.number}:{self.digest}"


def link_in(record: Record) -> Link | None:
    """Return the link that a record has as its target."""
    found = re.fullmatch(r"([\w.-]+):(\d{1,15}):([0-9a-f]{64})", record.target)
    if record.what not in (BEGAN, DROPPED) or not found:
        return None
    return Link(found[1], int(found[2]), found[3])


class Chain:
    """Where a chain ends, for whoever adds to it."""

    def __init__(self, name: str, number: int = 0, head: str = "") -> None:
        self.name = name
        self.number = number
        self.head = head

    def copy(self) -> Chain:
        """Return one that can go on while it isn't known whether what was added is kept."""
        return Chain(self.name, self.number, self.head)

    def add(self, record: Record, at: float | None = None) -> bytes:
        """Return a record's line, with its number, its digests and its time ``at`` in place of what it has."""
        self.number += 1
        linked = msgspec.structs.replace(
            record,
            chain=self.name,
            number=self.number,
            previous=self.head,
            digest="",
            at=record.at if at is None else at,
        )
        body = msgspec.json.encode(linked)
        self.head = hashlib.sha256(body).hexdigest()
        return body[:-1] + b',"digest":"' + self.head.encode() + b'"}\n'


class Scan:
    """What is found in one chain, line by line."""

    def __init__(self, chain: str, *, live: bool = False, since: float = 0.0) -> None:
        self.chain = chain
        self.live = live
        self.first = 0
        self.why = ""
        self.torn = False
        self.digests: list[bytes] = []
        self.links: list[tuple[str, Link]] = []
        self._since = since
        self._before = ""
        """What the first record says of the one before it."""

    @property
    def last(self) -> int:
        """The number of the last good record."""
        return self.first + len(self.digests) - 1 if self.digests else 0

    @property
    def head(self) -> Link | None:
        """The last good record."""
        return Link(self.chain, self.last, self.digests[-1].hex()) if self.digests else None

    def line(self, line: bytes) -> None:
        """Look at the next line; after one that is wrong nothing more is looked at."""
        if self.why:
            return
        if not line.endswith(b"\n"):
            # A crash leaves a beginning of a line, and so does a write that failed, after which the chain goes on in
            # another file; whoever takes a record away makes the next one not follow.
            self.torn = True
            return
        record = read_line(line)
        if isinstance(record, str):
            self.why = f"after record {self.last}: {record}"
            return
        self.torn = False
        self._add(record)

    def _add(self, record: Record) -> None:
        if record.chain != self.chain:
            self.why = f"after record {self.last}: there is a record of another chain"
        elif not self.digests:
            self.first = record.number
            self._before = record.previous
        elif record.number != self.last + 1:
            self.why = f"record {self.last + 1} is missing: {record.number} stands in its place"
        elif record.previous != self.digests[-1].hex():
            self.why = f"record {record.number} doesn't follow from {self.last}"
        if self.why:
            return
        self.digests.append(bytes.fromhex(record.digest))
        link = link_in(record)
        if link and record.at >= self._since:
            self.links.append((record.what, link))

    def problem(self, scans: Mapping[str, Scan]) -> str:
        """Say what is wrong with the chain, going by what the others say of it."""
        if self.why:
            return self.why
        links = [(what, link) for scan in scans.values() for what, link in scan.links if link.chain == self.chain]
        if not self.digests:
            return "" if self.live else _missing(links)
        begins = Link(self.chain, self.first - 1, self._before)
        if self.first == 1 and self._before:
            return "record 1 follows from one that isn't there"
        if self.first > 1 and (DROPPED, begins) not in links:
            return f"the records up to {self.first - 1} are missing, and nothing says that they were dropped"
        for what, link in links:
            if what == BEGAN and self.first <= link.number:
                if link.number > self.last:
                    if self.live:
                        continue  # It was added while the others were looked at.
                    return f"the records from {self.last + 1} to {link.number} are missing: they were there once"
                if self.digests[link.number - self.first].hex() != link.digest:
                    return f"record {link.number} is another than it was once"
        return ""


def scan(
    chain: str, lines: Iterable[bytes], anchor: Link | None = None, *, live: bool = False, since: float = 0.0
) -> Scan:
    """Look at the lines of a chain; ``anchor`` is the last record before them that its store has dropped.

    To one that is ``live`` its process still adds. What is said before ``since`` of other chains counts no more: by now
    they may have ended by themselves.
    """
    found = Scan(chain, live=live, since=since)
    if anchor is not None:
        found.links.append((DROPPED, anchor))
    for line in lines:
        found.line(line)
    return found


def link_of(line: bytes) -> Link | None:
    """Return the link to a record; None where the line is none."""
    record = read_line(line)
    return Link(record.chain, record.number, record.digest) if isinstance(record, Record) else None


def read_line(line: bytes) -> Record | str:
    """Return the record of a line, or what is wrong with it by itself."""
    tail = line[-_LENGTH - 1 : -1]
    found = _DIGEST.fullmatch(tail)
    if not found:
        return "a line is no record"
    body = line[: -_LENGTH - 1] + b"}"
    if hashlib.sha256(body).hexdigest().encode() != found[1]:
        return "a record was changed"
    try:
        return msgspec.json.decode(line, type=Record)
    except msgspec.DecodeError:
        return "a record has another form"


def verdicts(scans: Iterable[Scan]) -> list[Verdict]:
    """Judge chains that were looked at, and those of which others say that they were there."""
    by_name = {scan.chain: scan for scan in scans}
    found = []
    for scan in by_name.values():
        why = scan.problem(by_name)
        if not scan.digests and not why and not scan.torn:
            continue  # A process that ended before its first record.
        status: Literal["whole", "torn", "broken"] = "broken" if why else "torn" if scan.torn else "whole"
        found.append(
            Verdict(
                chain=scan.chain,
                status=status,
                first=scan.first,
                last=scan.last,
                head=scan.head.digest if scan.head else "",
                why=why,
            )
        )
    return [*found, *_lost(by_name)]


def _lost(scans: Mapping[str, Scan]) -> Iterable[Verdict]:
    """Find chains that are gone, though nothing says that they were dropped up to where they were once."""
    links = [each for scan in scans.values() for each in scan.links]
    for chain in sorted({link.chain for _, link in links} - scans.keys()):
        if why := _missing([(what, link) for what, link in links if link.chain == chain]):
            yield Verdict(chain=chain, status="broken", first=0, last=0, why=why)


def _missing(links: Sequence[tuple[str, Link]]) -> str:
    """Say what is missing of a chain of which there is nothing, going by what others say of it."""
    was = max((link.number for what, link in links if what == BEGAN), default=0)
    dropped = max((link.number for what, link in links if what == DROPPED), default=0)
    return f"the records from {dropped + 1} to {was} are missing: they were there once" if was > dropped else ""


def chain_name(started: float) -> str:
    """Return a name for this process's chain, which no other has; by name, chains are in order of their beginnings."""
    at = time.strftime("%Y%m%dT%H%M%S", time.gmtime(started))
    host = re.sub(r"[^\w-]", "-", socket.gethostname())[:40]
    return f"{at}-{host}-{os.getpid()}-{secrets.token_hex(3)}"
