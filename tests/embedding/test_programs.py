"""Programs that run the story by themselves, on asyncio, on trio and in a thread, and how a signal ends them."""

from __future__ import annotations

import signal

import pytest

from .host import Host, program

LOOPS = {
    "asyncio": ("import asyncio", "asyncio.run(main())"),
    "trio": ("import trio", "trio.run(main)"),
}
ASYNC = ("Async", "In a task group of the host", "In the hooks of a framework")


def on(loop: str, section: str) -> str:
    """Run the program of a section by the loop's own door."""
    code = program(section)
    call = next(line for line in code.splitlines() if line.startswith("anyio.run("))
    more, start = LOOPS[loop]
    return f"{more}\n{code.replace(call, start)}"


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("section", ASYNC)
def test_an_async_program_plays_a_turn(section: str, loop: str, host: Host) -> None:
    host.write("program.py", on(loop, section))
    assert len(host.run("program").split()) > 20
    assert host.running == []


@pytest.mark.parametrize("loop", LOOPS)
def test_ctrl_c_cancels_a_turn_and_stops_the_kernel_in_order(loop: str, host: Host) -> None:
    host.write("program.py", on(loop, "Async").replace('"me"', '"held"'))
    process = host.start("program")
    held = host.gate.arrival()
    process.signal(signal.SIGINT)
    held.until_it_ends()
    assert process.wait() == -signal.SIGINT
    assert process.output.rstrip().endswith("KeyboardInterrupt")
    assert host.running == []


@pytest.mark.parametrize("loop", LOOPS)
def test_ctrl_c_ends_a_program_whose_kernel_has_a_task_of_its_own(loop: str, host: Host) -> None:
    code = on(loop, "In the hooks of a framework").replace('"me"', '"held"')
    host.write("program.py", code)
    process = host.start("program")
    held = host.gate.arrival()
    process.signal(signal.SIGINT)
    held.until_it_ends()
    assert process.wait() == -signal.SIGINT
    assert process.output.rstrip().endswith("KeyboardInterrupt")
    assert host.running == []


def test_ctrl_c_cancels_a_call_and_stops_the_kernel_in_order(host: Host) -> None:
    host.write("program.py", program("Not async").replace('"me", seed', '"held", seed'))
    process = host.start("program")
    held = host.gate.arrival()
    process.signal(signal.SIGINT)
    held.until_it_ends()
    assert process.wait() == -signal.SIGINT
    assert process.output.rstrip().endswith("KeyboardInterrupt")
    assert host.running == []


@pytest.mark.parametrize("inside", ["with BlockingKernel(kernel) as blocking:", "if blocking := started(kernel):"])
def test_a_handler_of_sigterm_that_exits_stops_the_kernel_in_order(host: Host, inside: str) -> None:
    started = "def started(kernel):\n    blocking = BlockingKernel(kernel)\n    blocking.start()\n    return blocking\n"
    handler = "import signal, sys\n\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit())\n"
    code = program("Not async").replace('"me", seed', '"held", seed')
    host.write("program.py", f"{handler}{started}{code.replace('with BlockingKernel(kernel) as blocking:', inside)}")
    process = host.start("program")
    held = host.gate.arrival()
    process.signal(signal.SIGTERM)
    held.until_it_ends()
    assert process.wait() == 0
    assert host.running == []
