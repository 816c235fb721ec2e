"""Play a turn in which a person is in distress, and show what was opened and who was told: a part of ``make demo``."""

from __future__ import annotations

import anyio

from tta_crisis import CRISIS, CrisisQuery
from tta_kernel import Kernel
from tta_notify import NOTIFY, Entry
from tta_orchestration import ORCHESTRATION
from tta_program import load, table

_SAID = "I can't do this any more, I want to die tonight"
_PATIENCE = 5.0
"""Seconds that telling somebody may take until it is shown."""


async def main() -> None:
    """Run it in a process of its own, and tell how it went."""
    async with Kernel(load(), installed=True) as kernel:
        play = kernel.get(ORCHESTRATION).process_user_input
        await play("look around", "demo-crisis", user="demo")
        print(f"a sentence of distress, and what is said to it:\n> {_SAID}\n")
        print((await play(_SAID, "demo-crisis", user="demo")).text)
        print("\nwhat was opened for it:")
        page = await kernel.get(CRISIS).page(CrisisQuery(session="demo-crisis"))
        table([("", "", each.kind, each.level, each.status) for each in page.interventions])
        print("\nwho was told of it:")
        notified: list[Entry] = []
        with anyio.move_on_after(_PATIENCE):
            while not notified:
                entries = (await kernel.get(NOTIFY).page()).entries
                notified = [entry for entry in entries if entry.deliveries]
                await anyio.sleep(0.05)
        table(
            [
                ("", "", entry.notification.subject, delivery.channel, delivery.status)
                for entry in notified
                for delivery in entry.deliveries
            ]
        )


if __name__ == "__main__":
    anyio.run(main)
