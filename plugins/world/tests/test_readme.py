from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tta_world import diff
from tta_world.memory import MemoryWorlds
from tta_world.testing import some_world

README = Path(__file__).resolve().parents[1] / "README.md"


async def test_the_examples_in_the_readme_run() -> None:
    names: dict[str, Any] = {}
    for example in re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL):
        exec(compile(example, "README.md", "exec"), names)
    worlds = MemoryWorlds(lambda: 0.0, ttl=60.0, limit=10)

    assert not await names["rain"](worlds, "s")
    await worlds.apply("s", 0, diff(None, some_world()), "t1", owner="anna")
    assert await names["rain"](worlds, "s")
    stored = await worlds.get("s")
    assert stored is not None
    assert (stored.world.weather, stored.head.version) == ("rainy", 2)
