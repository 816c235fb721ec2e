"""The vocabulary in which the agents of a story speak, an intent, a world, and a change; and where worlds live."""

from __future__ import annotations

from .change import REASONS, Change, Deed, Delta, Detail, Outcome
from .events import WorldConflicted, WorldRepaired
from .graph import Near, Node, NodeKind, Relation, RelationKind
from .intent import COMMANDS, FEELINGS, HEAVY, Command, Entity, EntityKind, Feeling, Intent
from .model import (
    ABROAD,
    DIRECTIONS,
    NOWHERE,
    PLAYER,
    Character,
    Exit,
    Focus,
    Place,
    Player,
    Telling,
    Thing,
    Weather,
    World,
)
from .patch import Edit, Patch, PatchError, diff, disjoint, patched
from .plugin import WorldMemory, WorldPlugin
from .routing import Route, route
from .settings import WorldConfig
from .store import (
    FIGURES,
    WORLD,
    Applied,
    Conflict,
    Head,
    Record,
    Snapshot,
    Stored,
    WorldError,
    WorldRefused,
    WorldStore,
    digest,
)
from .view import (
    Period,
    blocked,
    carried,
    entity,
    has_light,
    here,
    holder,
    inside,
    known,
    lit,
    name,
    people,
    period,
    shows,
    visible,
    ways,
)
from .wire import VERSION

__all__ = [
    "ABROAD", "COMMANDS", "DIRECTIONS", "FEELINGS", "FIGURES", "HEAVY", "NOWHERE", "PLAYER", "REASONS", "VERSION",
    "WORLD", "Applied", "Change", "Character", "Command", "Conflict", "Deed", "Delta", "Detail", "Edit", "Entity",
    "EntityKind", "Exit", "Feeling", "Focus", "Head", "Intent", "Near", "Node", "NodeKind", "Outcome",
    "Patch", "PatchError", "Period", "Place", "Player", "Record", "Relation", "RelationKind", "Route", "Snapshot",
    "Stored", "Telling", "Thing", "Weather", "World", "WorldConfig", "WorldConflicted", "WorldError",
    "WorldMemory", "WorldPlugin", "WorldRefused", "WorldRepaired", "WorldStore", "blocked", "carried", "diff",
    "digest", "disjoint", "entity", "has_light", "here", "holder", "inside", "known", "lit", "name",
    "patched", "people", "period", "route", "shows", "visible", "ways",
]  # fmt: skip
