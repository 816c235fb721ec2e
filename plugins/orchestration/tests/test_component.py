"""The contract of a TTA component: bools, and never an exception, from start and stop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tta_kernel import Context, Kernel, NoConfig, Plugin
from tta_orchestration import Component


class Broken(Plugin[NoConfig]):
    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        raise OSError("no server")
        yield


def test_a_component_starts_and_stops_and_says_so() -> None:
    component = Component(lambda: Kernel(plugins={}))
    assert [component.start(), component.start(), component.status] == [True, True, "running"]
    assert [component.stop(), component.stop(), component.status] == [True, True, "stopped"]


def test_a_component_that_cannot_start_says_so_and_does_not_raise() -> None:
    component = Component(lambda: Kernel(plugins={"broken": Broken}))
    assert [component.start(), component.status] == [False, "error"]


def test_a_component_that_is_not_running_plays_nothing() -> None:
    with pytest.raises(RuntimeError, match="start it first"):
        Component(lambda: Kernel(plugins={})).process_user_input("hello", "s")
