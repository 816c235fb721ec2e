"""TTA's own orchestrator, as the predecessor has it: components with dependencies, started and stopped in order."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from enum import Enum
from typing import Any

log = logging.getLogger("host")


class ComponentStatus(Enum):
    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    ERROR = "error"


class Component:
    """What the host's own components inherit."""

    def __init__(self, config: Any, name: str | None = None, dependencies: list[str] | None = None) -> None:
        self.config = config
        self.name = name or type(self).__name__
        self.dependencies = dependencies or []
        self.status = ComponentStatus.STOPPED

    def start(self) -> bool:
        if self.status == ComponentStatus.RUNNING:
            return True
        self.status = ComponentStatus.STARTING
        try:
            started = self._start_impl()
        except Exception:  # as the host has it
            log.exception("%s could not start", self.name)
            started = False
        if started:
            self.status = ComponentStatus.RUNNING
        elif self.status not in (ComponentStatus.STOPPED, ComponentStatus.RUNNING):
            self.status = ComponentStatus.ERROR
        return started

    def stop(self) -> bool:
        if self.status == ComponentStatus.STOPPED:
            return True
        self.status = ComponentStatus.STOPPING
        try:
            stopped = self._stop_impl()
        except Exception:  # as the host has it
            log.exception("%s could not stop", self.name)
            stopped = False
        self.status = ComponentStatus.STOPPED if stopped else ComponentStatus.ERROR
        return stopped

    def restart(self) -> bool:
        if self.status in (ComponentStatus.RUNNING, ComponentStatus.STARTING) and not self.stop():
            return False
        return self.start()

    def _start_impl(self) -> bool:
        raise NotImplementedError

    def _stop_impl(self) -> bool:
        raise NotImplementedError

    def get_status(self) -> ComponentStatus:
        return self.status

    def get_config(self) -> Mapping[str, Any]:
        repository = "tta.dev" if "tta.dev" in self.name.lower() else "tta.prototype"
        name = self.name.lower().replace(f"{repository}_", "")
        found = self.config.get(f"{repository}.components.{name}", {})
        assert isinstance(found, Mapping)
        return found


class TTAOrchestrator:
    """Starts a component's dependencies before it, and stops those that depend on it first."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        self.components: dict[str, Any] = {}

    def start_component(self, name: str) -> bool:
        if name not in self.components:
            return False
        component = self.components[name]
        for dependency in component.dependencies:
            if dependency not in self.components:
                log.warning("%s depends on %s, which is unknown", name, dependency)
                continue
            running = self.components[dependency].status == ComponentStatus.RUNNING
            if not running and not self.start_component(dependency):
                return False
        return bool(component.start())

    def stop_component(self, name: str) -> bool:
        if name not in self.components:
            return False
        for dependent, component in self.components.items():
            if name not in component.dependencies or component.status != ComponentStatus.RUNNING:
                continue
            if not self.stop_component(dependent):
                return False
        return bool(self.components[name].stop())

    def start_all(self) -> bool:
        started = [self.start_component(name) for name in self._sorted()]
        return all(started)

    def stop_all(self) -> bool:
        stopped = True
        for name in reversed(self._sorted()):
            if self.components[name].status == ComponentStatus.RUNNING:
                stopped = self.stop_component(name) and stopped
        return stopped

    def get_all_statuses(self) -> dict[str, ComponentStatus]:
        return {name: component.status for name, component in self.components.items()}

    def _sorted(self) -> list[str]:
        order: list[str] = []

        def visit(name: str, above: tuple[str, ...]) -> None:
            if name in above:
                log.warning("%s depends on itself", name)
                return
            if name in order or name not in self.components:
                return
            for dependency in self.components[name].dependencies:
                visit(dependency, (*above, name))
            order.append(name)

        for name in self.components:
            visit(name, ())
        return order
