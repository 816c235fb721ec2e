"""TTA's own component contract, over a kernel in a thread: ``start`` and ``stop`` return bool, and never raise."""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar

from tta_kernel import Kernel, State, as_failure
from tta_program import BlockingKernel

from .model import ORCHESTRATION, NotRunning, Orchestration, OrchestrationResponse

log = logging.getLogger("tta.orchestration")

R = TypeVar("R")


class Status(StrEnum):
    """What a component is doing; equal to the member of the host's own enum that has the same value."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    ERROR = "error"

    def __eq__(self, other: object) -> bool:
        return self.value == getattr(other, "value", other)

    def __ne__(self, other: object) -> bool:
        return not self == other  # a str has an inequality of its own

    def __hash__(self) -> int:
        return hash(self.value)


class Component:
    """Runs the orchestration inside a synchronous TTA process; ``make`` builds a kernel for each start.

    ``config`` is the host's, nested or with dotted keys; ``dependencies`` are names of the host's other components,
    which its orchestrator starts first. Any thread may call: there is one start, or one stop, at a time.
    """

    def __init__(
        self,
        make: Callable[[], Kernel],
        *,
        name: str = "agent_orchestration",
        dependencies: Sequence[str] = (),
        config: Any = None,
    ) -> None:
        self.name = name
        self.dependencies = [*dependencies]
        self.config = {} if config is None else config
        self._make = make
        # A handler of a signal may stop what its own thread is starting.
        self._lock = threading.RLock()
        self._kernel: BlockingKernel | None = None
        self._status = Status.STOPPED

    @property
    def status(self) -> Status:
        """What it is doing now; a kernel that has died is an error."""
        kernel = self._kernel
        if self._status is Status.RUNNING and (kernel is None or not kernel.running):
            return Status.ERROR
        return self._status

    def start(self) -> bool:
        """Start, and say whether it runs; a running one stays as it is, and one that has died is made anew."""
        with self._lock:
            if self.status is Status.RUNNING:
                return True
            if self._kernel is not None:
                self.stop()
            if self._kernel is not None:
                return False  # It is still stopping.
            self._status = Status.STARTING
            kernel = None
            try:
                kernel = self._kernel = BlockingKernel(self._make())
                kernel.start()
            except BaseException as exc:
                if self._kernel is kernel:  # else somebody has stopped it meanwhile, and that is what it is
                    self._status = Status.ERROR
                self._forget_if_ended()
                failure = as_failure(exc)  # which raises an interrupt
                log.error("the component %r could not start", self.name, exc_info=failure)  # noqa: TRY400
                return False
            self._status = Status.RUNNING
            return True

    def stop(self) -> bool:
        """Stop, and say whether that went well; a stopped one stays as it is, and a start that goes on is given up.

        One that is still stopping is an error, and kept: the next stop, or start, waits for it again.
        """
        starting = self._kernel if self._status is Status.STARTING else None
        if starting is not None:
            # Another thread's start would keep this one waiting for as long as plugins may take to start.
            starting.request_stop()
        with self._lock:
            kernel = self._kernel
            if kernel is None or kernel.ended:
                self._kernel, self._status = None, Status.STOPPED
                return True
            self._status = Status.STOPPING
            try:
                kernel.stop()
            except BaseException as exc:
                self._status = Status.ERROR
                self._forget_if_ended()
                failure = as_failure(exc)
                log.error("the component %r did not stop well", self.name, exc_info=failure)  # noqa: TRY400
                return False
            failed = [name for name, record in kernel.kernel.records.items() if record.state is State.FAILED]
            self._kernel, self._status = None, Status.ERROR if failed else Status.STOPPED
            if failed:
                log.error("the component %r did not stop well: %s failed", self.name, ", ".join(failed))
            return not failed

    def restart(self) -> bool:
        """Stop what runs, and start; a stop that doesn't go well is all there is."""
        with self._lock:
            if self.status in (Status.RUNNING, Status.STARTING) and not self.stop():
                return False
            return self.start()

    def get_status(self) -> Status:
        """Return ``status``."""
        return self.status

    def get_config(self) -> Mapping[str, Any]:
        """Return the component's section of the host's config, ``components.<name>`` of its repository; or nothing."""
        for root in ("tta.prototype.", "tta.dev.", ""):
            found = _section(self.config, f"{root}components.{self.name}")
            if isinstance(found, Mapping):
                return found
        return {}

    def get_service(self) -> Orchestration | None:
        """Return the orchestration that runs, for `call`; None where none does."""
        kernel = self._kernel
        if kernel is None or self.status is not Status.RUNNING:
            return None
        return kernel.kernel.services.get(ORCHESTRATION)

    def call(self, func: Callable[..., Awaitable[R]], *args: Any, timeout: float | None = None, **kwargs: Any) -> R:
        """Await what the service does, in its event loop; `NotRunning` where the component isn't running."""
        kernel = self._kernel
        if kernel is None or self.status is not Status.RUNNING:
            raise NotRunning("the component is not running; start it first")
        return kernel.call(func, *args, timeout=timeout, **kwargs)

    def process_user_input(self, text: str, session: str, *, user: str = "") -> OrchestrationResponse:
        """Play one turn; `NotRunning` where the component isn't running."""
        service = self.get_service()
        if service is None:
            raise NotRunning("the component is not running; start it first")
        return self.call(service.process_user_input, text, session, user=user)

    def _forget_if_ended(self) -> None:
        if self._kernel is not None and self._kernel.ended:
            self._kernel = None


def _section(config: Any, key: str) -> Any:
    """Look a dotted key up: as one key, as the host's own config takes it, or level by level."""
    found = config.get(key)
    if found is not None or not isinstance(config, Mapping):
        return found
    for part in key.split("."):
        config = config.get(part) if isinstance(config, Mapping) else None
    return config
