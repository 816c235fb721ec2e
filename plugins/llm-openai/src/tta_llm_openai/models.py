"""The models of all endpoints, by ``endpoint/model``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import anyio

from tta_llm import Delta, Embedded, LlmError, ModelCall, ModelInfo

from .client import Client, opened
from .config import Config


class OpenAIModels:
    """Asks the endpoint that a model's name begins with."""

    def __init__(self, clients: Mapping[str, Client]) -> None:
        self._clients = clients

    async def list(self) -> Sequence[ModelInfo]:
        found: dict[str, Sequence[str]] = {}
        failures: list[LlmError] = []

        async def ask(client: Client) -> None:
            try:
                found[client.name] = await client.models()
            except LlmError as exc:
                failures.append(exc)

        async with anyio.create_task_group() as tasks:
            for client in self._clients.values():
                tasks.start_soon(ask, client)
        if failures and not found:
            raise failures[0]
        return [ModelInfo(f"{endpoint}/{name}") for endpoint in sorted(found) for name in found[endpoint]]

    async def stream(self, call: ModelCall) -> AsyncGenerator[Delta, None]:
        client, model = self._of(call.model)
        async with aclosing(client.stream(call, model)) as deltas:
            async for delta in deltas:
                yield delta

    async def embed(self, model: str, texts: Sequence[str]) -> Embedded:
        client, name = self._of(model)
        return await client.embed(name, texts)

    def _of(self, model: str) -> tuple[Client, str]:
        endpoint, _, name = model.partition("/")
        client = self._clients.get(endpoint)
        if client is None or not name:
            known = ", ".join(sorted(self._clients)) or "none"
            raise LlmError("invalid_request", f"there is no such endpoint; there are: {known}", reached=False)
        return client, name


@asynccontextmanager
async def models_of(config: Config) -> AsyncIterator[OpenAIModels]:
    """Give the models of a config's endpoints, for as long as the block."""
    async with AsyncExitStack() as stack:
        clients = {
            name: await stack.enter_async_context(opened(name, endpoint)) for name, endpoint in config.all().items()
        }
        yield OpenAIModels(clients)
