"""Run a workflow whose step fails once and is tried again, and print its history: a part of ``make demo``."""

from __future__ import annotations

from collections.abc import Mapping

import anyio
import msgspec

from tta_agents import AgentError, AgentPlugin, AgentSpec, StepContext
from tta_kernel import Kernel, NoConfig, hookimpl
from tta_program import load, table
from tta_workflows import WORKFLOWS, Retry, Step, Workflow
from tta_workflows.records import AnyRecord, Done, Failed, Started


class Wick(msgspec.Struct, frozen=True):
    """What the lamp is lit for, and what it shows."""

    text: str


class Lamp(AgentPlugin[NoConfig]):
    """An agent whose first attempt fails, and a workflow that makes another."""

    spec = AgentSpec("lamp", "lights a lamp, at the second attempt", Wick, Wick)

    @hookimpl(optionalhook=True)
    def workflow_definitions(self) -> Mapping[str, Workflow]:
        light = Step("light", agent="lamp", input={"text": "input.text"}, retry=Retry(attempts=3, delay=0.1))
        return {"lamp": Workflow((light,), output={"text": "steps.light.text"})}

    async def process(self, request: Wick, ctx: StepContext, /) -> Wick:
        if ctx.attempt == 1:
            raise AgentError("draught", "the wind blew it out", retryable=True)
        return Wick(f"the lamp is lit for {request.text}")


async def main() -> None:
    """Run it in a process of its own, and tell how it went."""
    async with Kernel(load(), plugins={"lamp": Lamp}, installed=True) as kernel:
        workflows = kernel.get(WORKFLOWS)
        run = await workflows.run("lamp", {"text": "you"}, key="demo")
        history = await workflows.history("demo")
    print("a step that fails once, and is tried again:")
    table([("", "", *told(record)) for record in history if isinstance(record, Started | Failed | Done)])
    print(f"the run is {run.status}: {run.output.get('text', run.detail)}")


def told(record: AnyRecord) -> tuple[str, str, str]:
    """Say in three cells what has happened."""
    assert isinstance(record, Started | Failed | Done)
    more = f"{record.code}, another attempt follows" if isinstance(record, Failed) and record.again else ""
    return record.step, f"attempt {record.attempt}", f"{type(record).__name__.lower()} {more}"


if __name__ == "__main__":
    anyio.run(main)
