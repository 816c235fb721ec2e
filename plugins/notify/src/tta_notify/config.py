"""Who is told, through which channels, and how long it is tried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from tta_kernel import Duration, PositiveDuration, Problem, Secret

from .hours import Hours
from .model import SEVERITIES, Severity

Count = Annotated[int, Meta(ge=1, le=1000)]
Tier = Annotated[int, Meta(ge=1, le=9)]


class Person(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody who is told: their addresses by channel, and when they work.

    ``tier`` 1 is told first. Outside of ``hours`` (always, where there are none) what isn't critical waits for them.
    """

    addresses: Mapping[str, str]
    tier: Tier = 1
    hours: str = ""
    zone: str = "UTC"
    locale: str = ""


class Contact(Person, frozen=True, forbid_unknown_fields=True):
    """Somebody outside of the roster whom a person trusts: told only what is to them, and in their hours, if any.

    ``knows``: by which name they know that person.
    """

    knows: str = ""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How what has one severity is told.

    ``channels``: all, where none is named. ``escalate_after``: how long until the next tier is told, while no human has
    acknowledged it; 0: never. ``rounds``: how often the whole ladder is gone up.
    """

    channels: tuple[str, ...] = ()
    escalate_after: Duration = 0.0
    rounds: Annotated[int, Meta(ge=1, le=100)] = 1


RULES: Mapping[Severity, Rule] = {
    "low": Rule(("queue",)),
    "moderate": Rule(),
    "high": Rule(escalate_after=1800.0),
    "critical": Rule(escalate_after=300.0, rounds=3),
}


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``need_humans``: object to a deployment in which nobody would be told, or nothing outlives its process.

    ``contacts``: whom persons trust, by the name that the flags of their sessions have.
    ``window``: for how long what has one group is told once. A try may take ``limit``; after ``tries`` of them, ever
    later from ``retry`` on and up to ``longest_retry`` apart, or after ``expire``, it is dead. A channel that failed
    ``pause_after`` times in a row is left alone for ``pause``. ``link``: how long a link holds by which somebody
    acknowledges. ``callback_secret``: with it a program may say that a person of the roster has acknowledged.
    ``patience``: how long whoever hands something over waits for the outbox.
    """

    need_humans: bool = True
    roster: Mapping[str, Person] = {}
    contacts: Mapping[str, Contact] = {}
    severities: Mapping[Severity, Rule] = {}
    window: Duration = 600.0
    limit: PositiveDuration = 10.0
    tries: Count = 8
    retry: PositiveDuration = 5.0
    longest_retry: PositiveDuration = 600.0
    expire: PositiveDuration = 86400.0
    pause_after: Count = 3
    pause: PositiveDuration = 30.0
    link: PositiveDuration = 86400.0
    callback_secret: Secret = ""
    patience: Annotated[PositiveDuration, Meta(le=0.05)] = 0.03

    def rule(self, severity: Severity) -> Rule:
        """Return how what has this severity is told."""
        return self.severities.get(severity, RULES[severity])


def problems(config: Config) -> Iterator[Problem]:
    """Say what is wrong with a config by itself."""
    where = "plugins.notify.config"
    for part, people in (("roster", config.roster), ("contacts", config.contacts)):
        for name, person in people.items():
            try:
                Hours(person.hours, person.zone)
            except ValueError as exc:
                yield Problem(f"{where}.{part}.{name:.100}", str(exc))
    for name in config.roster.keys() & config.contacts.keys():
        yield Problem(f"{where}.contacts.{name:.100}", "is in the roster, too", "give one of them another name")
    if config.longest_retry < config.retry:
        yield Problem(f"{where}.longest_retry", "is less than `retry`")
    if 0 < len(config.callback_secret) < 16:
        yield Problem(f"{where}.callback_secret", "is shorter than 16 characters, and could be guessed")
    for severity in SEVERITIES:
        rule = config.rule(severity)
        if severity == "critical" and rule.channels == ("queue",):
            yield Problem(f"{where}.severities.critical.channels", "what is critical is only put into a list")
