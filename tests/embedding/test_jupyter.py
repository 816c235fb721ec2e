"""A notebook: its cells share an event loop, its user interrupts and restarts."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel

from tta_redis.testing.server import wait_until

from .host import PATIENCE, Host, program

CELLS = [cell.strip() for cell in re.split(r"^# %%$", program("Jupyter"), flags=re.MULTILINE) if cell.strip()]
START, TURN, STOP = CELLS
HELD = TURN.replace('"me"', '"held"')
BLOCKING = """
from tta_kernel import Kernel
from tta_orchestration import ORCHESTRATION
from tta_program import BlockingKernel, load

blocking = BlockingKernel(Kernel(load()))
blocking.start()
play = blocking.kernel.get(ORCHESTRATION).process_user_input
"""


class Notebook:
    """Runs cells in a kernel of Jupyter's."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager, self._client = manager, client

    def begin(self, code: str) -> str:
        """Have a cell run, and return the number of the message that asks for it."""
        return str(self._client.execute(code))

    def end(self, message: str) -> str:
        """Wait until a cell has run; return what it printed, and the error's name where it failed."""
        told: list[str] = []
        while True:
            news = self._client.get_iopub_msg(timeout=PATIENCE)
            if news["parent_header"].get("msg_id") != message:
                continue
            match news["msg_type"], news["content"]:
                case "stream", {"text": str(text)}:
                    told.append(text)
                case "error", {"ename": str(name)}:
                    told.append(name)
                case "status", {"execution_state": "idle"}:
                    return "".join(told)

    def interrupt(self) -> None:
        self.manager.interrupt_kernel()
        # ipykernel handles the signal when its event loop next wakes up, for whichever reason.
        self._client.kernel_info()

    def run(self, code: str) -> str:
        return self.end(self.begin(code))


@pytest.fixture
def notebook(host: Host) -> Iterator[Notebook]:
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(host.folder), env=host.environment)
    try:
        yield Notebook(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_a_kernel_lives_on_between_the_cells(notebook: Notebook, host: Host) -> None:
    assert notebook.run(START) == ""
    assert len(notebook.run(TURN).split()) > 20
    assert len(notebook.run(TURN).split()) > 10
    assert len(host.running) == 1
    assert notebook.run(STOP) == ""
    assert host.running == []


def test_an_interrupt_cancels_the_turn_and_nothing_else(notebook: Notebook, host: Host) -> None:
    notebook.run(START)
    cell = notebook.begin(HELD)
    held = host.gate.arrival()
    notebook.interrupt()
    held.until_it_ends()
    assert notebook.end(cell) == "CancelledError"
    assert len(notebook.run(TURN).split()) > 20
    assert notebook.run(STOP) == ""
    assert host.running == []


def test_an_interrupt_between_the_cells_does_nothing(notebook: Notebook) -> None:
    notebook.run(START)
    notebook.interrupt()
    assert len(notebook.run(TURN).split()) > 20


def test_an_interrupt_cancels_a_blocking_call_and_nothing_else(notebook: Notebook, host: Host) -> None:
    assert notebook.run(BLOCKING) == ""
    cell = notebook.begin('play_held = blocking.call(play, "look around", "held")')
    held = host.gate.arrival()
    notebook.interrupt()
    held.until_it_ends()
    assert notebook.end(cell) == "KeyboardInterrupt"
    assert len(notebook.run('print(blocking.call(play, "look around", "me").text)').split()) > 20
    assert notebook.run("blocking.stop()") == ""
    assert host.running == []


@pytest.mark.parametrize(("start", "in_order"), [(START, False), (BLOCKING, True)], ids=["async", "blocking"])
def test_a_restart_ends_the_kernel_and_its_process(
    notebook: Notebook, host: Host, start: str, *, in_order: bool
) -> None:
    notebook.run(start)
    [process] = host.running
    notebook.manager.restart_kernel()
    wait_until(lambda: not alive(process), "its process has ended")
    assert host.running == ([] if in_order else [process])
    notebook.run(START)
    assert len(notebook.run(TURN).split()) > 20


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
