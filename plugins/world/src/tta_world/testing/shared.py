"""What a store of worlds promises that several processes share."""

from __future__ import annotations

import anyio

from tta_world.patch import diff
from tta_world.store import Applied, Conflict, WorldStore, same

from .contract import NEW, WorldContract
from .sample import after_turn, some_world


class SharedWorldContract(WorldContract):
    """Subclass this for a store that processes share; ``other`` is the same store, as another process has it."""

    async def test_a_change_is_seen_by_another_process(self, worlds: WorldStore, other: WorldStore) -> None:
        world = some_world()
        await worlds.apply("s", 0, NEW, "t1", owner="anna")
        assert await other.get("s") is not None
        after = after_turn(world)
        await worlds.apply("s", 1, diff(world, after), "t2", owner="anna")
        head = await other.head("s")
        assert head is not None
        assert head.version == 2
        latest = await other.get("s", 2)
        assert latest is not None
        assert same(latest.world, after)
        assert await other.apply("s", 1, diff(world, after), "t2", owner="anna") == Applied(2, again=True)
        assert isinstance(await other.apply("s", 1, diff(world, after), "t3", owner="anna"), Conflict)
        assert await other.forget("anna") == 1
        assert await worlds.head("s") is None

    async def test_a_subscriber_hears_of_what_another_process_does(self, worlds: WorldStore, other: WorldStore) -> None:
        async with worlds.subscribe("s") as heads:
            await other.apply("s", 0, NEW, "t1")
            with anyio.fail_after(60):
                assert (await anext(heads)).version == 1
