"""What every record of who did what promises."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import anyio
import msgspec

from tta_audit.chain import BEGAN, DROPPED
from tta_audit.model import Audit, Entry, Record, position
from tta_kernel import correlation_id


def an_entry(what: str = "runs.cancel", **given: Any) -> Entry:
    """Make an entry."""
    return msgspec.convert({"what": what, "who": "ops", "kind": "key", "outcome": "done", **given}, Entry)


async def deeds(audit: Audit, **wanted: Any) -> list[Record]:
    """Return what was recorded, but for what a record says of itself."""
    return [each for each in await audit.read(**wanted) if each.what not in (BEGAN, DROPPED)]


async def statuses(audit: Audit) -> list[str]:
    return [each.status for each in await audit.verify()]


class AuditContract:
    """Subclass this, and give the fixture ``audit``: an empty record with room for 100 entries."""

    async def test_nothing_is_there_before_the_first_entry(self, audit: Audit) -> None:
        assert await deeds(audit) == []
        assert "broken" not in await statuses(audit)

    async def test_an_entry_is_kept_with_all_that_it_says(self, audit: Audit) -> None:
        entry = an_entry(target="run-7", code="late", address="192.0.2.1", outcome="failed", correlation_id="c-1")
        await audit.record(entry)
        (record,) = await deeds(audit)
        for name in ("what", "who", "kind", "outcome", "target", "code", "address", "correlation_id"):
            assert getattr(record, name) == getattr(entry, name)
        assert record.at > 0
        assert len(record.digest) == 64

    async def test_an_entry_without_a_correlation_has_that_of_its_task(self, audit: Audit) -> None:
        token = correlation_id.set("c-2")
        await audit.record(an_entry())
        correlation_id.reset(token)
        (record,) = await deeds(audit)
        assert record.correlation_id == "c-2"

    async def test_records_come_newest_first_and_follow_from_each_other(self, audit: Audit) -> None:
        for number in range(5):
            await audit.record(an_entry(target=f"run-{number}"))
        found = await deeds(audit)
        assert [each.target for each in found] == [f"run-{number}" for number in (4, 3, 2, 1, 0)]
        for later, earlier in pairwise(found):
            assert later.number == earlier.number + 1
            assert later.previous == earlier.digest
        assert await statuses(audit) == ["whole"]

    async def test_entries_at_once_stand_in_one_chain(self, audit: Audit) -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(audit.record, an_entry(target=f"run-{number}"))
        assert {each.target for each in await deeds(audit)} == {f"run-{number}" for number in range(20)}
        assert await statuses(audit) == ["whole"]

    async def test_several_entries_are_kept_in_their_order_and_with_their_people(self, audit: Audit) -> None:
        owners = ("anna", "", "ben", "anna")
        await audit.record_all([an_entry(target=f"run-{number}", owner=owner) for number, owner in enumerate(owners)])
        await audit.record_all([])
        found = await deeds(audit)
        assert [each.target for each in found] == [f"run-{number}" for number in (3, 2, 1, 0)]
        assert found[0].owner == found[3].owner != found[1].owner
        assert found[2].owner == ""
        assert await statuses(audit) == ["whole"]

    async def test_pages_follow_each_other_without_a_gap(self, audit: Audit) -> None:
        for number in range(7):
            await audit.record(an_entry(target=f"run-{number}"))
        found: list[str] = []
        before = ""
        while page := await audit.read(limit=3, before=before):
            found += [each.target for each in page if each.what == "runs.cancel"]
            before = position(page[-1])
        assert found == [f"run-{number}" for number in reversed(range(7))]

    async def test_it_finds_what_somebody_did_and_who_did_something(self, audit: Audit) -> None:
        await audit.record(an_entry("runs.cancel", who="a"))
        await audit.record(an_entry("runs.signal", who="b"))
        await audit.record(an_entry("runsome.deed", who="a"))
        assert [each.what for each in await deeds(audit, who="a")] == ["runsome.deed", "runs.cancel"]
        assert [each.who for each in await deeds(audit, what="runs.signal")] == ["b"]
        assert [each.what for each in await deeds(audit, what="runs.*")] == ["runs.signal", "runs.cancel"]

    async def test_a_person_stands_under_one_pseudonym_that_does_not_name_them(self, audit: Audit) -> None:
        for owner in ("anna", "ben", "anna"):
            await audit.record(an_entry(owner=owner))
        anna, ben, first = (each.owner for each in await deeds(audit))
        assert anna == first != ben
        assert "anna" not in repr(await deeds(audit))
        assert len(await deeds(audit, owner="anna")) == 2
        assert await deeds(audit, owner="nobody") == []

    async def test_a_forgotten_person_is_found_no_more_and_the_chain_stays_whole(self, audit: Audit) -> None:
        await audit.record(an_entry(owner="anna"))
        await audit.record(an_entry(owner="ben"))
        before = {each.owner for each in await deeds(audit)}
        assert [await audit.forget("anna"), await audit.forget("anna"), await audit.forget("nobody")] == [1, 0, 0]
        assert await deeds(audit, owner="anna") == []
        assert len(await deeds(audit, owner="ben")) == 1
        await audit.record(an_entry(owner="anna"))
        assert (await deeds(audit))[0].owner not in before
        assert await statuses(audit) == ["whole"]

    async def test_long_and_odd_fields_are_kept_as_far_as_they_can_be(self, audit: Audit) -> None:
        await audit.record(an_entry(target="x" * 10_000, code="\udcff\n\x00", address="ä\u2028"))
        (record,) = await deeds(audit)
        assert len(record.target) < 1000
        assert record.address == "ä\u2028"
        assert await statuses(audit) == ["whole"]


class SharedAuditContract(AuditContract):
    """As above, for a record that several processes share: ``other`` is a second way into that of ``audit``."""

    async def test_each_has_a_chain_and_reads_them_all(self, audit: Audit, other: Audit) -> None:
        await audit.record(an_entry(target="one"))
        await other.record(an_entry(target="two"))
        assert [each.target for each in await deeds(audit)] == ["two", "one"]
        assert [each.target for each in await deeds(other)] == ["two", "one"]
        assert await statuses(audit) == ["whole", "whole"]

    async def test_one_that_begins_later_holds_on_to_those_before(self, audit: Audit, other: Audit) -> None:
        await audit.record(an_entry())
        await other.record(an_entry())
        began = [each for each in await audit.read() if each.what == BEGAN]
        heads = {f"{each.chain}:{each.number}:{each.digest}" for each in await audit.read()}
        assert sum(each.target in heads for each in began) == 1

    async def test_a_person_stands_under_the_same_pseudonym_in_both_and_is_forgotten_in_both(
        self, audit: Audit, other: Audit
    ) -> None:
        await audit.record(an_entry(owner="anna"))
        await other.record(an_entry(owner="anna"))
        assert len({each.owner for each in await deeds(audit)}) == 1
        assert await other.forget("anna") == 1
        assert await deeds(audit, owner="anna") == []
        assert await audit.forget("anna") == 0
