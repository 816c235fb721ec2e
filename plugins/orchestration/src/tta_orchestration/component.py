"""TTA's own component contract, over a kernel in a thread: ``start`` and ``stop`` return bool, and never raise."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal

from tta_kernel import Kernel
from tta_program import BlockingKernel

from .model import ORCHESTRATION, OrchestrationResponse

log = logging.getLogger("tta.orchestration")


class Component:
    """Runs the orchestration inside a synchronous TTA process; ``make`` builds the kernel to run."""

    name = "agent_orchestration"

    def __init__(self, make: Callable[[], Kernel]) -> None:
        self._make = make
        self._kernel: BlockingKernel | None = None
        self.status: Literal["stopped", "starting", "running", "stopping", "error"] = "stopped"

    def start(self) -> bool:
        """Start, and say whether it runs; a running one stays as it is."""
        if self.status == "running":
            return True
        self.status = "starting"
        try:
            kernel = BlockingKernel(self._make())
            kernel.start()
        except Exception:
            log.exception("the component could not start")
            self.status = "error"
            return False
        self._kernel, self.status = kernel, "running"
        return True

    def stop(self) -> bool:
        """Stop, and say whether that went well; a stopped one stays as it is."""
        if self._kernel is None:
            return True
        self.status = "stopping"
        try:
            self._kernel.stop()
        except Exception:
            log.exception("the component did not stop well")
            self.status = "error"
            return False
        finally:
            self._kernel = None
        self.status = "stopped"
        return True

    def process_user_input(self, text: str, session: str, *, user: str = "") -> OrchestrationResponse:
        """Play one turn; RuntimeError where the component isn't running."""
        if self._kernel is None:
            raise RuntimeError("the component is not running; start it first")

        async def turn(kernel: Kernel) -> OrchestrationResponse:
            return await kernel.get(ORCHESTRATION).process_user_input(text, session, user=user)

        return self._kernel.call(turn, self._kernel.kernel)
