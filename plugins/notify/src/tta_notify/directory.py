"""Which channels there are, and who follows up on an acknowledgement: what plugins bring, by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from tta_kernel import Context, Hooks, PluginError, Problem

from . import hookspecs
from .channels import Channel, is_channel
from .model import Acknowledged, Entry

QUEUE = "queue"
"""The channel that is always there: the list of notifications itself, which operators look at."""


class Directory(msgspec.Struct, frozen=True):
    """The channels that can be used, and what is wrong with the others."""

    channels: Mapping[str, Channel]
    problems: Sequence[Problem] = ()


def channels_of(hooks: Hooks | Context) -> Directory:
    """Ask all plugins for their channels; of two with one name, the first plugin's is used."""
    found: dict[str, Channel] = {}
    owners = {QUEUE: "notify"}
    wrong = []
    for plugin, answer in sorted(hooks.collect(hookspecs.notification_channels).items()):
        where = f"plugin {plugin!r}"
        if isinstance(answer, Exception):
            # One that can't be used is the kernel's to tell.
            if not isinstance(answer, PluginError):
                what = f"its hook notification_channels failed with {type(answer).__name__}"
                wrong.append(Problem(where, what, plugin=plugin))
            continue
        for channel in answer:
            if not is_channel(channel):
                what = "brings a channel whose name doesn't read like 'mail' or 'night-pager'"
                wrong.append(Problem(where, what, plugin=plugin))
            elif channel.name in owners:
                what = f"brings a channel {channel.name!r}, and so does {owners[channel.name]!r}"
                wrong.append(Problem(where, what, "rename one of them", plugin=plugin))
            else:
                owners[channel.name] = plugin
                found[channel.name] = channel
    return Directory(found, wrong)


async def follow_up(hooks: Hooks | Context, entry: Entry) -> Sequence[str]:
    """Tell everybody who follows up that a human has seen it; return who couldn't be told, or could do nothing."""
    said = entry.acknowledgement
    assert said is not None
    about = entry.notification
    answers = await hooks.ask(
        hookspecs.notification_acknowledged,
        Acknowledged(
            id=about.id, key=entry.key, topic=about.topic, severity=about.severity, by=said.by, at=said.at,
            how=said.how, owner=about.owner, about=about.about,
        ),
    )  # fmt: skip
    return [plugin for plugin, answer in answers.items() if isinstance(answer, Exception)]
