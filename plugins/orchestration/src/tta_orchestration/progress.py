"""How far a turn is: told from the moment at which it takes longer than a moment, and never backwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import anyio

from tta_kernel import Event, as_failure
from tta_kernel.isolation import is_interrupt
from tta_workflows import RunHandle

from . import texts
from .release import Send

FIRST = 0.2
"""Seconds after which a turn is told of; a quicker one needs no telling."""
_AGAIN = 0.2
"""Seconds between two looks at the run."""
STAGES: Mapping[str, int] = {"checking": 0, "waiting": 5, "telling": 10, "over": 100}
"""What a turn is at, and how far it is then, in percent; between ``telling`` and the end it is at a step of its run."""
_BUSY = frozenset({"running", "waiting", "retrying"})


class Progressed(Event, frozen=True, tag="orchestration.progressed"):
    """A person's turn that takes a while has come so far: ``stage`` is one of `STAGES`, or a step of the workflow.

    ``percent`` only grows within a turn.
    """

    __shown__: ClassVar = ("stage",)

    session: str
    stage: str
    percent: int
    owner: str = ""


class Progress:
    """Watches one turn, and speaks to its reader where no sentence has come for ``patience`` seconds.

    ``run`` is the turn's run, once there is one; ``said`` is what the reader was told while they waited, and no part of
    the story.
    """

    def __init__(
        self, publish: Callable[[Event], None], session: str, owner: str, send: Send | None, *, patience: float
    ) -> None:  # fmt: skip
        self._publish, self._session, self._owner = publish, session, owner
        self._send, self._patience = send, patience
        self.run: RunHandle | None = None
        self.said = ""
        self._stage, self._percent = "checking", 0
        self._takes_long = self._heard = False
        self._scope = anyio.CancelScope()

    @property
    def send(self) -> Send | None:
        """What releases a text to the reader, if there is one."""
        return self._told if self._send is not None else None

    def at(self, stage: str, percent: int | None = None) -> None:
        """Know that the turn has come to a stage."""
        percent = STAGES[stage] if percent is None else percent
        if percent < self._percent or (stage, percent) == (self._stage, self._percent):
            return  # It is told anew, from what others have changed meanwhile.
        self._stage, self._percent = stage, percent
        if self._takes_long:
            self._tell()

    def end(self) -> None:
        """Know that the turn is over."""
        self.at("over")
        self._scope.cancel()

    async def watch(self) -> None:
        """Look how far the turn is, again and again, until it is over."""
        due = anyio.current_time() + self._patience
        with self._scope:
            await anyio.sleep(min(FIRST, self._patience))
            self._takes_long = True
            self._tell()
            while await self._look():
                left = due - anyio.current_time()
                if left <= 0 and not self._heard:
                    await self._ask_for_patience()
                await anyio.sleep(min(left, _AGAIN) if left > 0 else _AGAIN)

    async def _look(self) -> bool:
        """See how far the run is; False where that must not be asked again."""
        run = None
        with anyio.move_on_after(_AGAIN):
            try:
                run = await self.run.query() if self.run is not None else None
                if run is not None:
                    stage = next((step.id for step in run.steps if step.status in _BUSY), self._stage)
                    self.at(stage, min(STAGES["telling"] + run.percent * 8 // 10, 90))
            except BaseException as exc:  # noqa: BLE001 - a stranger's engine; the turn itself says what is wrong with it
                if is_interrupt(exc):
                    return False  # The turn meets it, too, and its reader hears of it.
                as_failure(exc)
        return True

    async def _ask_for_patience(self) -> None:
        if self._send is None:
            return
        text = texts.PATIENCE if self._percent >= STAGES["telling"] else texts.HEARD
        self.said = text + "\n\n"
        await self._told(self.said)

    async def _told(self, text: str) -> None:
        self._heard = True
        assert self._send is not None
        await self._send(text)

    def _tell(self) -> None:
        self._publish(
            Progressed(session=self._session, stage=self._stage, percent=self._percent, owner=self._owner)
        )  # fmt: skip
