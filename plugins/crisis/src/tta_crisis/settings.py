"""What a deployment says of crises: who may be told what, which protocol is taken, how long things may take."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from tta_kernel import Duration, PositiveDuration
from tta_sessions import AgeBand, Flags

from .packet import TELLING, Telling

Count = Annotated[int, Meta(ge=1, le=100_000)]


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``protocols``: workflows by kind and level (``suicide.high``), kind, or level, in place of the package's.

    ``pool``: the pool of workflows through which their calls go; it is to be a reserved one. ``telling``: what may be
    told to whom, by age band; ``never_contact``: kinds of which no trusted contact is told, whoever has agreed.
    ``turns``: how many turns a hand-off packet holds. ``earlier``: how long an intervention counts for the next one of
    its session. ``need_durable``: object to a deployment whose interventions end with their process.

    ``look_limit``: how long a disclosure waits for what is known of its session; ``store_limit`` and ``start_limit``:
    how long the store and the start of a protocol may take; ``most_unstored``: how many interventions wait in memory.
    ``sweep``: how often open interventions are looked for whose protocol never began, of the last ``sweep_back``.
    """

    protocols: dict[str, str] = {}
    pool: str = ""
    telling: dict[AgeBand, Telling] = {}
    never_contact: tuple[str, ...] = ("abuse",)
    turns: Annotated[int, Meta(ge=0, le=50)] = 6
    earlier: Duration = 86400.0
    need_durable: bool = True
    look_limit: PositiveDuration = 0.25
    store_limit: PositiveDuration = 2.0
    start_limit: PositiveDuration = 2.0
    most_unstored: Count = 10_000
    sweep: PositiveDuration = 60.0
    sweep_back: PositiveDuration = 86400.0

    def told(self, age_band: AgeBand) -> Telling:
        """Return what may be told of somebody of that age."""
        return self.telling.get(age_band, TELLING[age_band])

    def withholds(self, flags: Flags, kind: str) -> str:
        """Say why the trusted contact of a person isn't told of a crisis of that kind, as a word; or nothing."""
        telling = self.told(flags.age_band).contact
        if not flags.contact:
            return "no-contact"
        if kind in self.never_contact:
            return "kind"
        if telling == "never":
            return "age-band"
        return "" if telling == "always" or flags.consent.contact else "no-consent"
