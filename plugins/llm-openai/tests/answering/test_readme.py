"""The example in the README is a config that runs, and its model is asked."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from tta_kernel.testing import running
from tta_llm import LLM, ChatRequest, LlmMemory, LlmPlugin, Message
from tta_llm_openai import LlmOpenai

from .server import DONE, Server, chunk, streams

README = Path(__file__).resolve().parents[2] / "README.md"


async def test_the_example_in_the_readme_asks_a_server(server: Server) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    written = yaml.safe_load(example.replace("http://127.0.0.1:11434/v1", server.url))["plugins"]
    configs = {name: section["config"] for name, section in written.items()}
    server.answers = [streams(chunk("calm", finish="stop"), DONE)]
    async with running(LlmPlugin, LlmMemory, LlmOpenai, configs=configs, config=configs["llm"]) as kernel:
        reply = await kernel.get(LLM).chat(ChatRequest(messages=(Message("user", "how is the sea?"),)))
    assert (reply.text, reply.model) == ("calm", "local/gemma3")
    assert server.bodies[0]["model"] == "gemma3"
