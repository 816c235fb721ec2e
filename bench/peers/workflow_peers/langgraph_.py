"""LangGraph: a compiled graph; durable on plain Redis, since its own saver needs modules that plain Redis lacks."""

from __future__ import annotations

import operator
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypedDict

import redis.asyncio
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.graph import END, START, StateGraph

from .common import PAUSE, TEXT, WIDTH, Rows, build, chain_result, fan_result, read, rest, tell


class _Turn(TypedDict, total=False):
    text: str
    change: str
    told: str


class _Fan(TypedDict, total=False):
    text: str
    found: Annotated[list[int], operator.add]


class _PlainRedisSaver(BaseCheckpointSaver[int]):
    """Keeps the last checkpoint of each thread, and the writes that belong to it, in a hash."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        super().__init__()
        self._client = client

    async def aput(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        kind, data = self.serde.dumps_typed((checkpoint, metadata))
        thread = config["configurable"]["thread_id"]
        await self._client.hset(f"lg:{thread}", mapping={"checkpoint": data, "kind": kind, "id": checkpoint["id"]})
        return {"configurable": {"thread_id": thread, "checkpoint_ns": "", "checkpoint_id": checkpoint["id"]}}

    async def aput_writes(self, config: Any, writes: Sequence[Any], task_id: str, task_path: str = "") -> None:
        _, data = self.serde.dumps_typed(list(writes))
        await self._client.hset(f"lg:{config['configurable']['thread_id']}", f"writes:{task_id}", data)

    async def aget_tuple(self, config: Any) -> CheckpointTuple | None:
        found = await self._client.hgetall(f"lg:{config['configurable']['thread_id']}")
        if not found:
            return None
        checkpoint, metadata = self.serde.loads_typed((found[b"kind"].decode(), found[b"checkpoint"]))
        return CheckpointTuple(config, checkpoint, metadata, None, [])


def _turn(pause: float, saver: Any = None) -> Any:
    async def reader(state: _Turn) -> _Turn:
        if pause:
            await rest(pause)
        return {"text": read(state["text"])}

    async def builder(state: _Turn) -> _Turn:
        if pause:
            await rest(pause)
        return {"change": build(state["text"])}

    async def teller(state: _Turn) -> _Turn:
        if pause:
            await rest(pause)
        return {"told": tell(state["change"])}

    graph = StateGraph(_Turn)
    for name, node in (("read", reader), ("build", builder), ("tell", teller)):
        graph.add_node(name, node)
    for start, end in ((START, "read"), ("read", "build"), ("build", "tell"), ("tell", END)):
        graph.add_edge(start, end)
    return graph.compile(checkpointer=saver)


def _fan() -> Any:
    graph = StateGraph(_Fan)

    def square(n: int) -> Any:
        async def node(state: _Fan) -> _Fan:
            return {"found": [n * n]}

        return node

    for n in range(WIDTH):
        graph.add_node(f"b{n}", square(n))
        graph.add_edge(START, f"b{n}")
        graph.add_edge(f"b{n}", END)
    return graph.compile()


@asynccontextmanager
async def open_rows(redis_url: str) -> AsyncIterator[Rows]:
    """Yield what this peer runs."""
    turn, slow_turn, wide = _turn(0), _turn(PAUSE), _fan()
    client = redis.asyncio.Redis.from_url(redis_url, max_connections=1000)
    durable_turn = _turn(0, _PlainRedisSaver(client))

    async def chain() -> None:
        chain_result((await turn.ainvoke({"text": TEXT}))["told"])

    async def slow() -> None:
        chain_result((await slow_turn.ainvoke({"text": TEXT}))["told"])

    async def fan() -> None:
        fan_result(sum((await wide.ainvoke({"text": TEXT, "found": []}))["found"]))

    async def durable() -> None:
        config = {"configurable": {"thread_id": uuid.uuid4().hex}}
        chain_result((await durable_turn.ainvoke({"text": TEXT}, config, durability="sync"))["told"])

    yield {"chain": chain, "fan": fan, "slow": slow, "durable": durable}
