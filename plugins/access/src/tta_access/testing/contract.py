"""What every store of keys promises."""

from __future__ import annotations

import time

import anyio
import pytest
from msgspec.structs import replace

from tta_access.model import ACTIVE_KEYS, Key, KeyRefused, KeyStore


def a_key(
    id: str = "0123456789", name: str = "probe", *, created_at: float | None = None, expires_at: float | None = None
) -> Key:
    """Make a key that opens something."""
    return Key(
        id=id,
        name=name,
        roles=("viewer",),
        digest=id.ljust(64, "0"),
        created_at=time.time() if created_at is None else created_at,
        expires_at=expires_at,
    )


class KeysContract:
    """Subclass this, and give the fixture ``keys``: an empty store."""

    async def test_nobody_knows_a_key_that_was_never_added(self, keys: KeyStore) -> None:
        assert await keys.find("0" * 64) is None
        assert [*await keys.keys()] == []
        assert not await keys.revoke("0123456789")

    async def test_a_key_is_found_by_its_digest_with_all_that_it_is(self, keys: KeyStore) -> None:
        key = replace(a_key(), roles=("viewer", "notes"), expires_at=time.time() + 60)
        await keys.add(key)
        assert await keys.find(key.digest) == key
        assert await keys.find("f" * 64) is None

    async def test_keys_are_listed_by_the_time_of_their_making(self, keys: KeyStore) -> None:
        made = [a_key(f"{number:010x}", f"p{number}", created_at=float(number)) for number in (3, 1, 2)]
        for each in made:
            await keys.add(each)
        assert [each.id for each in await keys.keys()] == ["0000000001", "0000000002", "0000000003"]

    async def test_a_revoked_key_stays_known_as_such_and_is_revoked_once(self, keys: KeyStore) -> None:
        key = a_key()
        await keys.add(key)
        assert [await keys.revoke(key.id), await keys.revoke(key.id)] == [True, False]
        found = await keys.find(key.digest)
        assert found is not None
        assert found.state(time.time()) == "revoked"
        assert [each.id for each in await keys.keys()] == [key.id]

    async def test_a_principal_has_two_active_keys_at_most(self, keys: KeyStore) -> None:
        for number in range(ACTIVE_KEYS):
            await keys.add(a_key(f"{number:010x}"))
        with pytest.raises(KeyRefused):
            await keys.add(a_key("f" * 10))
        await keys.add(a_key("e" * 10, "somebody-else"))
        assert await keys.find(a_key("f" * 10).digest) is None

    async def test_a_revoked_or_expired_key_makes_room_for_another(self, keys: KeyStore) -> None:
        await keys.add(a_key("1" * 10, expires_at=time.time() - 1))
        await keys.add(a_key("2" * 10))
        await keys.add(a_key("3" * 10))
        await keys.revoke("2" * 10)
        await keys.add(a_key("4" * 10))
        assert {each.id for each in await keys.keys() if each.state(time.time()) == "active"} == {"3" * 10, "4" * 10}

    async def test_the_last_use_is_remembered_and_an_earlier_one_is_not(self, keys: KeyStore) -> None:
        await keys.add(a_key())
        await keys.used({"0123456789": 200.0, "ffffffffff": 300.0})
        await keys.used({"0123456789": 100.0})
        (found,) = await keys.keys()
        assert found.used_at == 200.0

    async def test_added_at_once_no_more_than_two_of_one_principal_are_active(self, keys: KeyStore) -> None:
        refused: list[str] = []

        async def add(id: str) -> None:
            try:
                await keys.add(a_key(id))
            except KeyRefused:
                refused.append(id)

        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(add, f"{number:010x}")
        assert len(refused) == 8 - ACTIVE_KEYS
        assert len(await keys.keys()) == ACTIVE_KEYS


class SharedKeysContract(KeysContract):
    """As above, for a store that several processes share: ``other`` is a second way into that of ``keys``."""

    async def test_what_another_adds_and_revokes_counts_at_once(self, keys: KeyStore, other: KeyStore) -> None:
        key = a_key()
        assert await keys.find(key.digest) is None
        await other.add(key)
        assert await keys.find(key.digest) == key
        await other.revoke(key.id)
        found = await keys.find(key.digest)
        assert found is not None
        assert found.state(time.time()) == "revoked"

    async def test_two_that_change_it_at_once_lose_nothing(self, keys: KeyStore, other: KeyStore) -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                store = (keys, other)[number % 2]
                tasks.start_soon(store.add, a_key(f"{number:010x}", f"p{number}"))
        assert len(await keys.keys()) == len(await other.keys()) == 20
