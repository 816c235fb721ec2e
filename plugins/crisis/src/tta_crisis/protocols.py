"""Which protocol sees to which crisis: the workflows of this package, and the table that chooses one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import as_file, files

import msgspec
from msgspec.structs import replace

from tta_kernel import Problem, suggest
from tta_safety import KINDS
from tta_workflows import Workflow, WorkflowUse
from tta_workflows.library import read_file

from .assessment import levels_of
from .model import LEVELS, Intervention

PROTOCOLS: Mapping[str, str] = {
    "low": "crisis-low",
    "moderate": "crisis-moderate",
    "high": "crisis-high",
    "critical": "crisis-critical",
    "panic.moderate": "crisis-low",
}
"""By kind and level, kind, or level; the one that says most goes first."""
NOTIFIES = "crisis-notify"


@cache
def shipped() -> Mapping[str, Workflow]:
    """Return the workflows that come with this package."""
    found = {}
    for file in sorted((files(__package__) / "protocols").iterdir(), key=lambda each: each.name):
        if file.name.endswith(".yaml"):
            with as_file(file) as path:
                found[path.stem] = read_file(path)
    return found


def definitions(pool: str) -> Mapping[str, Workflow]:
    """Return the workflows of this package, whose calls go through ``pool``, where one is named."""
    return {
        name: replace(workflow, execution=replace(workflow.execution, pool=pool)) if pool else workflow
        for name, workflow in shipped().items()
    }


def protocol(table: Mapping[str, str], kind: str, level: str) -> str:
    """Return the name of the workflow for a crisis of that kind and level; what nobody foresaw is critical."""
    chosen = {**PROTOCOLS, **table}
    # What a deployment says of a kind goes before what the package says of a pair.
    for key, names in ((f"{kind}.{level}", table), (kind, table), (f"{kind}.{level}", chosen), (level, chosen)):
        if name := names.get(key):
            return name
    return PROTOCOLS["critical"]


def input_of(intervention: Intervention) -> Mapping[str, object]:
    """Return what a protocol's run is given: no text of a person."""
    return {
        "intervention": intervention.id, "kind": intervention.kind, "level": intervention.level,
        "session": intervention.session, "turn": intervention.turn, "locale": intervention.locale,
        "country": intervention.country,
    }  # fmt: skip


def problems(table: Mapping[str, str]) -> Iterator[Problem]:
    """Say which entries of a deployment's table are of nothing that there is; `uses` proves the rest."""
    where = "plugins.crisis.config.protocols"
    keys = {*LEVELS, *KINDS, *(f"{kind}.{level}" for kind, level in levels_of())}
    for key, name in table.items():
        if key not in keys:
            yield Problem(f"{where}.{key:.100}", "is no kind, level, or kind.level", suggest(key, keys))
        elif not name:
            yield Problem(f"{where}.{key}", "names no workflow", "leave the key out for the protocol of the package")


class _Input(msgspec.Struct):
    intervention: str
    kind: str
    level: str
    session: str
    turn: int
    locale: str
    country: str


class _Output(msgspec.Struct):
    """Nothing is read of what a protocol gives."""


def uses(table: Mapping[str, str]) -> list[WorkflowUse]:
    """Say which workflows see to all kinds at all levels: `tta check` proves that each of them is there, and fits."""
    names = sorted({protocol(table, kind, level) for kind, level in levels_of()})
    return [WorkflowUse(name, _Input, _Output, "protocols") for name in names]
