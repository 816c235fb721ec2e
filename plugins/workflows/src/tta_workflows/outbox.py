"""What leaves runs, messages and events: sent after the commit that has it, until it is known to be sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import anyio

from tta_kernel import as_failure
from tta_messages import Backoff, Message, SendResult

from .journal import Fenced, Outgoing
from .runs import WorkflowSaid

if TYPE_CHECKING:
    from .engine import Engine
    from .execution import Execution

_LATER = frozenset({"queue_full", "not_replicated"})
"""What may go well the next time; all other refusals stay."""


class Outbox:
    """Sends what runs have committed; an id that comes twice is one for its receiver."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def send_soon(self, execution: Execution) -> None:
        """Send while the run goes on; `empty` sees to what is left."""
        self._engine.start_soon(self.empty, execution)

    async def empty(self, execution: Execution) -> None:
        """Return once all that a run has committed so far is sent, or the run is another's."""
        if not execution.writer.outgoing:
            return
        execution.sending = execution.sending or anyio.Lock()
        backoff = Backoff(self._engine.log, f"what run {execution.head.id} sends waits")
        async with execution.sending:
            while execution.writer.outgoing and not execution.left:
                try:
                    await self._send(execution)
                except Fenced:
                    execution.leave("fenced")
                except BaseException as exc:  # noqa: BLE001 - messages may be a stranger's
                    await backoff.wait(as_failure(exc))
                else:
                    backoff.over()

    async def _send(self, execution: Execution) -> None:
        batch = list(execution.writer.outgoing)
        await self._send_messages(execution, [each for each in batch if each.kind == "send"])
        for each in batch:
            if each.kind == "publish":
                self._say(execution, each)
        await self._engine.journal.sent(execution.lease, execution.head.id, [each.id for each in batch])
        del execution.writer.outgoing[: len(batch)]

    async def _send_messages(self, execution: Execution, outgoing: Sequence[Outgoing]) -> None:
        if not outgoing:
            return
        if self._engine.messages is None:
            raise _NotNow("nothing provides messages")
        head = execution.head
        messages = [
            Message.to(
                each.to, each.type, each.body, id=each.id, owner=head.owner, correlation_id=head.correlation_id,
                sender="workflows",
            )
            for each in outgoing
        ]  # fmt: skip
        for result, each in zip(await self._engine.messages.send(*messages), outgoing, strict=True):
            self._judge(result, each)

    def _judge(self, result: SendResult, outgoing: Outgoing) -> None:
        if result.delivered:
            return
        if result.error in _LATER:
            raise _NotNow(f"queue {outgoing.to}: {result.error}")
        self._engine.log.error(
            "message %s to %s is refused, and is not sent: %s %s", outgoing.id, outgoing.to, result.error, result.detail
        )  # fmt: skip

    def _say(self, execution: Execution, outgoing: Outgoing) -> None:
        if self._engine.publish is not None:
            head = execution.head
            self._engine.publish(
                WorkflowSaid(
                    name=outgoing.to, id=outgoing.id, run=head.id, workflow=head.workflow, data=outgoing.body,
                    session=head.session, owner=head.owner,
                )
            )  # fmt: skip


class _NotNow(Exception):
    """What is to be sent isn't taken now, and may be later."""
