"""The rival that needs an environment of its own; no postponed annotations, since its decorator looks types up."""

import asyncio
from dataclasses import dataclass
from time import perf_counter

from autogen_core import (
    DefaultTopicId,
    MessageContext,
    RoutedAgent,
    SingleThreadedAgentRuntime,
    TypeSubscription,
    message_handler,
)


@dataclass
class Tick:
    """Something small has happened."""

    number: int


class Reader(RoutedAgent):
    """Counts what it gets, together with its siblings."""

    got = 0

    @message_handler
    async def take(self, message: Tick, ctx: MessageContext) -> None:
        """Count one delivery."""
        Reader.got += 1


async def run(readers: int, events: int, rounds: int) -> list[float]:
    """Publish to agents that subscribe to one topic; seconds per event, one figure a round."""
    runtime = SingleThreadedAgentRuntime()
    for n in range(readers):
        await Reader.register(runtime, f"reader{n}", lambda: Reader("reads"))
        await runtime.add_subscription(TypeSubscription("default", f"reader{n}"))
    runtime.start()
    found = []
    for _ in range(rounds):
        begun, target = perf_counter(), Reader.got + events * readers
        for number in range(events):
            await runtime.publish_message(Tick(number), DefaultTopicId())
        while target > Reader.got:  # noqa: ASYNC110  # its queue tells nobody when it is empty
            await asyncio.sleep(0)  # noqa: TID251
        found.append((perf_counter() - begun) / events)
    await runtime.stop()
    return found
