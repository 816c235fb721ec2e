"""Stores of keys: what each promises, and what only a file can have wrong."""

# ruff: noqa: ASYNC240  # a test waits for its own files

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from tta_access import AccessError, FileKeys, Key, KeyRefused, KeyStore, MemoryKeys, digest_of, new_key
from tta_access.memory import MOST_KEYS, added
from tta_access.testing import KeysContract, SharedKeysContract, a_key
from tta_access.tokens import SHAPE, weakness


class TestMemory(KeysContract):
    @pytest.fixture
    def keys(self) -> KeyStore:
        return MemoryKeys()


class TestFile(SharedKeysContract):
    @pytest.fixture
    def keys(self, tmp_path: Path) -> KeyStore:
        return FileKeys(tmp_path / "state" / "keys.json")

    @pytest.fixture
    def other(self, tmp_path: Path) -> KeyStore:
        return FileKeys(tmp_path / "state" / "keys.json")


def many(*, expires_at: float) -> dict[str, Key]:
    made = [a_key(f"{number:010x}", f"p{number}", created_at=float(number)) for number in range(MOST_KEYS)]
    return {each.id: replace(each, expires_at=expires_at if number < 10 else 1e12) for number, each in enumerate(made)}


def test_where_there_are_too_many_the_oldest_that_has_ended_makes_room() -> None:
    found = added(many(expires_at=50.0), a_key("f" * 10, "one-more"), 100.0)
    assert len(found) == MOST_KEYS
    assert "0" * 10 not in found
    assert "0000000001" in found
    assert "f" * 10 in found


def test_where_all_are_active_no_more_is_added() -> None:
    with pytest.raises(KeyRefused, match="revoke some"):
        added(many(expires_at=1e12), a_key("f" * 10, "one-more"), 100.0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "keys.json"


async def test_only_its_owner_can_read_what_is_written(file: Path) -> None:
    keys = FileKeys(file)
    await keys.add(a_key())
    await keys.used({"0123456789": 1.0})
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(each.stat().st_mode) for each in file.parent.iterdir()} == {0o600}


async def test_no_file_holds_a_key(file: Path) -> None:
    keys = FileKeys(file)
    id, key = new_key()
    await keys.add(Key(id=id, name="probe", roles=(), digest=digest_of(key), created_at=1.0))
    secret = key.rpartition("_")[2]
    assert not [each for each in file.parent.iterdir() if secret.encode() in each.read_bytes()]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
async def test_a_file_that_others_can_read_is_refused_with_the_way_out(file: Path, mode: int) -> None:
    await FileKeys(file).add(a_key())
    file.chmod(mode)
    with pytest.raises(AccessError, match="chmod 600"):
        await FileKeys(file).add(a_key("f" * 10))


async def test_a_file_that_becomes_unreadable_leaves_the_keys_that_were_read(file: Path) -> None:
    keys = FileKeys(file)
    await keys.add(a_key())
    file.chmod(0o644)
    assert await keys.find(a_key().digest) is not None
    assert "chmod 600" in keys.trouble
    file.chmod(0o600)
    assert await keys.find(a_key().digest) is not None
    assert keys.trouble == ""


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"version": 1}', b'{"version": 1, "keys": [{}]}', b"\xff\xfe"])
async def test_a_damaged_file_is_told_and_left_as_it_is(file: Path, damage: bytes) -> None:
    keys = FileKeys(file)
    await keys.add(a_key())
    file.write_bytes(damage)
    assert await keys.find(a_key().digest) is not None
    with pytest.raises(AccessError, match=r"keys\.json"):
        await keys.add(a_key("f" * 10))
    assert file.read_bytes() == damage


async def test_a_file_of_a_newer_release_is_not_written_over(file: Path) -> None:
    file.parent.mkdir(mode=0o700)
    file.write_bytes(b'{"version": 2, "keys": []}')
    file.chmod(0o600)
    with pytest.raises(AccessError, match="newer release"):
        await FileKeys(file).add(a_key())


async def test_a_field_of_a_newer_release_is_no_damage(file: Path) -> None:
    file.parent.mkdir(mode=0o700)
    raw = {**msgspec.to_builtins(a_key()), "colour": "blue"}
    file.write_bytes(msgspec.json.encode({"version": 1, "keys": [raw], "more": 1}))
    file.chmod(0o600)
    found = await FileKeys(file).find(a_key().digest)
    assert found is not None
    assert found.id == a_key().id


async def test_a_file_that_is_taken_away_takes_all_keys_along(file: Path) -> None:
    keys = FileKeys(file)
    await keys.add(a_key())
    file.unlink()
    assert await keys.find(a_key().digest) is None


async def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(file: Path) -> None:
    await FileKeys(file).add(a_key())
    before = file.read_bytes()
    if os.geteuid() == 0:
        # Nothing keeps root from writing but a folder in the place of the file's new name.
        file.unlink()
        file.mkdir()
        with pytest.raises(AccessError):
            await FileKeys(file).add(a_key("f" * 10))
        assert sorted(each.name for each in file.parent.iterdir()) == ["keys.json", "keys.json.lock"]
        return
    file.parent.chmod(0o500)
    with pytest.raises(AccessError):
        await FileKeys(file).add(a_key("f" * 10))
    file.parent.chmod(0o700)
    assert file.read_bytes() == before


def test_a_new_key_has_its_shape_and_is_never_weak() -> None:
    made = [new_key() for _ in range(200)]
    assert len({key for _, key in made}) == 200
    for id, key in made:
        assert SHAPE.fullmatch(key)
        assert id in key
        assert weakness(key) == ""


@pytest.mark.parametrize(
    "text",
    [
        "", "change-me", "short", "x" * 23, "a" * 64, "abababababababababababab", "change-me-to-something-else-please",
        "my-very-secret-admin-key-of-today", "00000000-0000-0000-0000-000000000000", "test-key-9f8a7b6c5d4e3f2a1b0c",
    ],
)  # fmt: skip
def test_what_looks_like_a_default_or_can_be_guessed_is_no_key(text: str) -> None:
    assert weakness(text)


@pytest.mark.parametrize(
    "text", ["9f8a1b6c5d4e3f2a7b0c8d9e1f2a3b4c", "Zr8Vq1uYxk2mT5wBn9LcHd3j", "1c0e7c1e-58b4-4d0f-9a53-3b1a2c3d4e5f"]
)
def test_a_random_key_that_somebody_else_made_will_do(text: str) -> None:
    assert weakness(text) == ""
