"""What an answer costs with all that stands before it, next to a bare aiohttp and a bare Starlette: see README.md.

Requests are counted by the second of the server's processor time: clients and servers share this machine, and what a
client takes would hide what a server does. The servers take short turns, and are compared within each
turn: so what else the machine does meanwhile slows down all of them alike.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median

import anyio

KEY = f"ttak_{secrets.token_urlsafe(32)}"
CLIENTS = 16
MALFORMED = [
    b"GARBAGE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00" * 9,
    b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n",
    b"GET /" + b"a" * 30_000 + b" HTTP/1.1\r\n\r\n",
]  # fmt: skip


def request(port: int) -> bytes:
    """Return what is asked again and again, with a key that ours looks at."""
    return (
        f"GET /health HTTP/1.1\r\nHost: localhost:{port}\r\nAuthorization: Bearer {KEY}\r\nAccept: */*\r\n\r\n".encode()
    )


# The servers, each in a process of its own.


async def ours(port: int) -> None:
    """Serve with the whole stack: who asks, how often, what they may, what it took, and the audit beside."""
    from tta_access import AccessMemory, AccessPlugin
    from tta_audit import AuditMemory, AuditPlugin
    from tta_diagnostics import DiagnosticsPlugin
    from tta_http import HttpPlugin
    from tta_kernel import Kernel, KernelSettings, PluginSettings
    from tta_metrics import MetricsPlugin

    plugins = {
        "http": HttpPlugin, "access": AccessPlugin, "access-memory": AccessMemory, "audit": AuditPlugin,
        "audit-memory": AuditMemory, "metrics": MetricsPlugin, "diagnostics": DiagnosticsPlugin,
    }  # fmt: skip
    rates = {"probe": {"per_second": 1_000_000, "burst": 1_000_000}}
    listeners = [{"port": port}]
    config = {
        "diagnostics": PluginSettings(config={"listeners": listeners, "rates": rates}),
        "access": PluginSettings(
            config={"roles": {"probe": ["*:x"]}, "keys": {"probe": {"key": KEY, "roles": ["probe"]}}}
        ),
    }
    async with Kernel(KernelSettings(plugins=config), plugins=plugins):
        await anyio.sleep_forever()


async def aiohttp(port: int) -> None:
    """Serve the same bytes, and nothing else."""
    from aiohttp import web

    async def health(request: web.Request) -> web.Response:
        return web.json_response({"status": "pass"})

    app = web.Application()
    app.router.add_get("/health", health)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await anyio.sleep_forever()


async def starlette(port: int) -> None:
    """Serve the same bytes, and nothing else."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def health(request: Request) -> JSONResponse:
        return JSONResponse({"status": "pass"})

    app = Starlette(routes=[Route("/health", health)])
    await uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", access_log=False, loop="asyncio")).serve()


SERVERS: Mapping[str, Callable[[int], Awaitable[None]]] = {"ours": ours, "aiohttp": aiohttp, "starlette": starlette}


@contextmanager
def served(name: str) -> Iterator[tuple[int, int]]:
    """Run a server; return its process and its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, __file__, "--serve", name, "--port", str(port)]
    with subprocess.Popen(command, env={**os.environ, "BENCH_KEY": KEY}) as process:
        try:
            wait_for(port)
            yield process.pid, port
        finally:
            process.terminate()


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port)):
                return
        except OSError:
            time.sleep(0.05)  # noqa: TID251 - another process's port says nothing as it opens
    raise SystemExit("the server doesn't come up")


# The clients.


async def asked(port: int, count: int, *, beside: bool = False) -> list[float]:
    """Ask so often, each client on its connection; return how long each answer took, in seconds."""
    took: list[float] = []

    async def client() -> None:
        data = request(port)
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            for _ in range(count // CLIENTS):
                began = time.perf_counter()
                await stream.send(data)
                answer = await stream.receive()
                while b"}" not in answer[-2:]:
                    answer += await stream.receive()
                took.append(time.perf_counter() - began)

    async def trouble() -> None:
        while True:
            for data in MALFORMED:
                try:
                    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                        await stream.send(data)
                        await stream.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError, OSError):
                    pass
                await anyio.sleep(0.005)

    async with anyio.create_task_group() as outer:
        if beside:
            outer.start_soon(trouble)
        async with anyio.create_task_group() as tasks:
            for _ in range(CLIENTS):
                tasks.start_soon(client)
        outer.cancel_scope.cancel()
    return took


def processor_time(pid: int) -> float:
    """Return the seconds that all threads of a process have run; `/proc/PID/stat` counts hundredths."""
    return sum(int(each.read_text().split()[0]) for each in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def p99(took: list[float]) -> float:
    return sorted(took)[int(len(took) * 0.99)]


def measure(rounds: int, count: int) -> dict[str, float]:
    """Let the servers take turns; return answers by the second of processor time, and what trouble beside costs."""
    rates: dict[str, list[float]] = {name: [] for name in SERVERS}
    slower: list[float] = []
    with ExitStack() as running:
        servers = {name: running.enter_context(served(name)) for name in SERVERS}
        for _, port in servers.values():
            anyio.run(asked, port, count)
        for _ in range(rounds):
            for name, (pid, port) in servers.items():
                before = processor_time(pid)
                quiet = anyio.run(asked, port, count)
                rates[name].append(len(quiet) / (processor_time(pid) - before))
                if name == "ours":
                    troubled = anyio.run(partial(asked, port, count, beside=True))
                    slower.append(p99(troubled) / p99(quiet))
    return {
        **{f"{name}_per_cpu_second": median(each) for name, each in rates.items()},
        "health_to_aiohttp": _ratio(rates["ours"], rates["aiohttp"]),
        "health_to_starlette": _ratio(rates["ours"], rates["starlette"]),
        "health_p99_with_malformed": median(slower),
    }


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return median(one / other for one, other in zip(ours, theirs, strict=True))


def main() -> None:
    """Print what came of it; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", choices=SERVERS)
    parser.add_argument("--port", type=int)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--requests", type=int, default=3_000)
    options = parser.parse_args()
    if options.serve:
        global KEY
        KEY = os.environ["BENCH_KEY"]
        anyio.run(SERVERS[options.serve], options.port)
        return
    found = measure(options.rounds, options.requests)
    for name in SERVERS:
        print(f"{name:10} {found[f'{name}_per_cpu_second']:8,.0f} answers of /health in a second of the processor")
    print(f"p99 while malformed requests arrive: {found['health_p99_with_malformed']:.2f} times that of before")
    import access
    import metrics

    told = {**found, **metrics.measure(), "auth_us": anyio.run(access.auth_us)}
    names = ("health_to_aiohttp", "health_to_starlette", "health_p99_with_malformed", "scrape_ratio", "counter_ratio",
             "counter_ratio_otel", "histogram_ratio", "histogram_ratio_otel", "auth_us")  # fmt: skip
    print(json.dumps({name: round(told[name], 2) for name in names if name in told}))


if __name__ == "__main__":
    main()
