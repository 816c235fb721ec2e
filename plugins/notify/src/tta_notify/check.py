"""What a deployment lacks in which humans are to be told."""

from __future__ import annotations

from collections.abc import Iterator

from tta_kernel import Hooks, Problem

from .config import Config
from .directory import QUEUE, Directory
from .model import SEVERITIES
from .outbox import OUTBOX

_ANYWAY = "or set `need_humans: false`, in development and tests alone"


def deployment_problems(config: Config, directory: Directory, hooks: Hooks) -> Iterator[Problem]:
    """Say what is wrong with a config in its deployment: only there are channels, people and a store."""
    where = "plugins.notify.config"
    known = {*directory.channels, QUEUE}
    for severity in SEVERITIES:
        for name in config.rule(severity).channels:
            if name not in known:
                what = f"there is no channel {name!r}; known are: {', '.join(sorted(known))}"
                yield Problem(f"{where}.severities.{severity}.channels", what, deployment_only=True)
    for part, people in (("roster", config.roster), ("contacts", config.contacts)):
        for who, person in people.items():
            for name in person.addresses:
                if name not in directory.channels:
                    what = f"there is no channel {name!r}; known are: {', '.join(sorted(directory.channels)) or 'none'}"
                    yield Problem(f"{where}.{part}.{who:.100}.addresses", what, deployment_only=True)
    if not config.need_humans:
        return
    if not directory.channels:
        hint = f"enable notify-smtp, notify-webhook or notify-apprise, {_ANYWAY}"
        yield Problem("plugin 'notify'", "no channel reaches a human", hint, deployment_only=True)
    if not config.roster:
        hint = f"name the people who are told, {_ANYWAY}"
        yield Problem(f"{where}.roster", "nobody is to be told", hint, deployment_only=True)
    if hooks.providers.get(OUTBOX, "notify-memory") == "notify-memory":
        hint = f"enable notify-redis, {_ANYWAY}"
        yield Problem(
            "plugin 'notify'", "what isn't acknowledged yet ends with its process", hint, deployment_only=True
        )
    if hooks.trouble("notify-local"):
        hint = f"enable notify-local, {_ANYWAY}"
        yield Problem("plugin 'notify'", "nobody sends what lies in the outbox", hint, deployment_only=True)
