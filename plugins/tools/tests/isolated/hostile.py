"""Tools that misbehave in every way; they run in processes of their own, and tests look at what becomes of that."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec

from tta_tools import Reporter, Tool, ToolError, tool


def hostile(*flags: str) -> Callable[[Callable[..., Any]], Tool]:
    def decorate(function: Callable[..., Any]) -> Tool:
        declare = tool(name=f"test.{function.__name__}", version="1.0.0", description="x", safety_flags=flags)
        return declare(function)

    return decorate


@hostile()
def add(a: int, b: int) -> int:
    return a + b


@hostile()
async def later(a: int, report: Reporter) -> int:
    report("half", 0.5)
    return a


@hostile()
def chatty(report: Reporter) -> str:
    for n in range(10_000):
        report(f"{n} " + "x" * 1000)
    return "done"


@hostile()
def spin() -> None:
    while True:
        pass


@hostile()
def sleep(report: Reporter) -> None:
    """Say that it has begun, and stay."""
    report("begun")
    time.sleep(60)


@hostile()
def deaf() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGXCPU, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(60)


@hostile()
def leave(status: int) -> None:
    os._exit(status)


@hostile()
def leave_politely() -> None:
    raise SystemExit("a secret of somebody's")


@hostile()
def crash() -> None:
    ctypes.string_at(0)


@hostile()
def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


@hostile()
def eat() -> int:
    kept = []
    while True:
        kept.append(bytearray(1 << 24))


@hostile("process")
def eat_together() -> None:
    for _ in range(4):
        if not os.fork():
            break
    kept = bytearray(b"x" * (1 << 26))
    time.sleep(60)
    raise SystemExit(len(kept))


@hostile()
def bomb() -> None:
    while True:
        try:
            os.fork()
        except OSError:
            time.sleep(0.001)


@hostile("process")
def orphan(double: bool) -> str:
    """Leave something behind, in a session of its own."""
    if not os.fork():
        os.setsid()
        if double and os.fork():
            os._exit(0)
        os.execv(sys.executable, [sys.executable, "-c", "open('there', 'w'); import time; time.sleep(60)"])
    while not os.path.exists("there"):
        time.sleep(0.001)
    return "left one behind"


@hostile("process")
def run() -> str:
    return subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True, check=True, text=True).stdout


@hostile()
def close() -> None:
    os.closerange(0, 100)


@hostile()
def forge() -> None:
    """Write a line where the supervisor's would be, and something that is no JSON."""
    for file in range(3, 64):
        try:
            os.write(file, b'pnonsense\n{"ended":"answered"}\ne{"ended":"answered"}\nrNaN\n')
        except OSError:
            continue
    time.sleep(60)


@hostile()
def speak(text: str) -> str:
    print(text, flush=True)
    print(text, file=sys.stderr, flush=True)
    os.write(1, text.encode())
    return "said"


@hostile()
def big(size: int) -> str:
    return "x" * size


@hostile()
def endless() -> None:
    for file in range(3, 64):
        try:
            while True:
                os.write(file, b"x" * 65536)
        except OSError:
            continue
    time.sleep(60)


@hostile()
def not_a_number() -> float:
    return float("nan")


@hostile()
def surrogate() -> str:
    return "\ud800"


@hostile()
def huge_number() -> int:
    return 10**6000


@hostile()
def deep() -> list[Any]:
    found: list[Any] = []
    for _ in range(100_000):
        found = [found]
    return found


@hostile()
def strange() -> Any:
    return object()


@hostile()
def raises() -> None:
    raise ValueError("a secret of somebody's" * 100_000)


@hostile()
def recurses(n: int) -> int:
    return int(recurses(n + 1)) + 1


@hostile()
def refuses() -> None:
    raise ToolError("not_found", "there is no such star")


class Even(msgspec.Struct):
    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError("is odd")


@hostile()
def halve(even: Even) -> int:
    return even.number // 2


class Odd(BaseException):
    def __str__(self) -> str:
        raise self


@hostile()
def odd() -> None:
    raise Odd


@hostile()
def threads() -> int:
    """Leave threads that nobody waits for, and one that isn't a daemon."""
    for daemon in (True, False):
        threading.Thread(target=time.sleep, args=(60,), daemon=daemon).start()
    return threading.active_count()


@hostile()
def write(path: str) -> str:
    with open(path, "w", encoding="utf-8") as file:
        file.write("x")
    return "written"


@hostile()
def read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


@hostile()
def fill() -> None:
    """Write files without end, each small, deep down, and locked away."""
    os.makedirs("a/b")
    for n in range(1_000_000):
        with open(f"a/b/{n}", "wb") as file:
            file.write(b"x" * 100_000)


@hostile()
def one_file() -> None:
    with open("one", "wb") as file:
        while True:
            file.write(b"x" * (1 << 20))
            file.flush()


@hostile()
def dig() -> str:
    """Build a folder so deep that its path can't be said, and lock it."""
    for _ in range(1000):
        os.mkdir("deep")
        os.chdir("deep")
    os.chmod(".", 0)
    return "deep"


@hostile()
def variables() -> dict[str, str]:
    return dict(os.environ)


@hostile()
def parents_variables(parent: int) -> str:
    with open(f"/proc/{parent}/environ", encoding="utf-8") as file:
        return file.read()


@hostile()
def kill_other(process: int) -> None:
    os.kill(process, signal.SIGKILL)


@hostile()
def kill_above(levels: int) -> None:
    """Kill whoever holds this process (1), or whoever forked that (2)."""
    above = os.getpid()
    for _ in range(levels):
        with open(f"/proc/{above}/stat", encoding="utf-8") as file:
            above = int(file.read().rpartition(")")[2].split()[1])
    os.kill(above, signal.SIGKILL)
    time.sleep(60)


@hostile()
def where() -> list[str]:
    return [os.getcwd(), *sorted(os.listdir("/proc/self/fd"))]


@hostile()
def connect(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        return connection.recv(5).decode()


@hostile()
def grow_limits() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
