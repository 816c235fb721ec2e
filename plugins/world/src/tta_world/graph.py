"""A world as a graph: what is in it, how that stands to each other, and what is near what."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from typing import Literal, get_args

from msgspec import Struct

from .model import PLAYER, World
from .wire import Id, Name

NodeKind = Literal["place", "thing", "character", "player", "topic"]
RelationKind = Literal["at", "exit", "holds", "knows", "told", "heard"]
"""``at``: somebody or something is at a place; ``exit``: a place leads to another; ``holds``: who or what has a thing
in it; ``knows``: a place that the player was at or heard of; ``told`` and ``heard``: a topic that a character spoke of,
or was told of, by the player."""

NODE_KINDS: tuple[NodeKind, ...] = get_args(NodeKind)
RELATION_KINDS: tuple[RelationKind, ...] = get_args(RelationKind)
TOPIC = "topic:"
"""What the id of a topic begins with, so that it is nobody else's."""


class Node(Struct, frozen=True, order=True):
    """Something in a world. A player's name is theirs, and isn't told."""

    id: str
    kind: NodeKind
    name: Name = ""


class Relation(Struct, frozen=True, order=True):
    """How one thing stands to another."""

    source: str
    kind: RelationKind
    target: str


class Near(Struct, frozen=True):
    """Something in a world, and how many relations away it is."""

    node: Node
    distance: int


def nodes(world: World, kinds: Collection[NodeKind] = ()) -> Sequence[Node]:
    """Return what is in a world, by kind, in the order of the world; of two with one id only the first."""
    found: dict[str, Node] = {}
    for node in _nodes(world):
        found.setdefault(node.id, node)
    return [node for node in found.values() if not kinds or node.kind in kinds]


def relations(world: World, kinds: Collection[RelationKind] = (), *, of: str = "") -> Sequence[Relation]:
    """Return how things stand to each other, each relation once."""
    found = dict.fromkeys(_relations(world))
    return [
        each for each in found if (not kinds or each.kind in kinds) and (not of or of in (each.source, each.target))
    ]


def neighbours(world: World, id: Id, depth: int = 1, kinds: Collection[RelationKind] = ()) -> Sequence[Near]:
    """Return what is at most ``depth`` relations away, the nearest first, and by id."""
    known = {node.id: node for node in nodes(world)}
    beside: dict[str, set[str]] = {}
    for each in relations(world, kinds):
        beside.setdefault(each.source, set()).add(each.target)
        beside.setdefault(each.target, set()).add(each.source)
    distances = {id: 0} if id in known else {}
    waiting = deque(distances)
    while waiting:
        here = waiting.popleft()
        if distances[here] == depth:
            break
        for other in beside.get(here, set()) - distances.keys():
            distances[other] = distances[here] + 1
            waiting.append(other)
    found = [Near(known[other], distance) for other, distance in distances.items() if distance]
    return sorted(found, key=lambda near: (near.distance, near.node.id))


def path(
    world: World, start: Id, end: Id, kinds: Collection[RelationKind] = (), *, longest: int
) -> Sequence[str]:  # fmt: skip
    """Return a shortest way with both ends, of at most ``longest`` relations; empty where there is none."""
    known = {node.id for node in nodes(world)}
    if start not in known or end not in known:
        return []
    leads: dict[str, list[str]] = {}
    for each in relations(world, kinds):
        leads.setdefault(each.source, []).append(each.target)
        if each.kind != "exit":
            leads.setdefault(each.target, []).append(each.source)
    came_from = {start: ""}
    waiting = deque([(start, 0)])
    while waiting and end not in came_from:
        here, length = waiting.popleft()
        if length == longest:
            break
        for other in sorted(leads.get(here, ())):
            if other not in came_from:
                came_from[other] = here
                waiting.append((other, length + 1))
    if end not in came_from:
        return []
    way = [end]
    while way[-1] != start:
        way.append(came_from[way[-1]])
    return way[::-1]


def _nodes(world: World) -> Iterator[Node]:
    yield Node(PLAYER, "player")
    for id, place in world.places.items():
        yield Node(id, "place", place.name)
    for id, thing in world.things.items():
        yield Node(id, "thing", thing.name)
    for id, character in world.characters.items():
        yield Node(id, "character", character.name)
        for topic in (*character.told, *character.heard):
            yield Node(TOPIC + topic, "topic", topic)


def _relations(world: World) -> Iterator[Relation]:
    yield Relation(PLAYER, "at", world.player.at)
    for known in dict.fromkeys((*world.player.visits, *world.player.known)):
        if known in world.places:
            yield Relation(PLAYER, "knows", known)
    for id, place in world.places.items():
        for exit in place.exits:
            yield Relation(id, "exit", exit.to)
    for id, thing in world.things.items():
        if thing.at in world.places:
            yield Relation(id, "at", thing.at)
        elif thing.at == PLAYER or thing.at in world.things or thing.at in world.characters:
            yield Relation(thing.at, "holds", id)
    for id, character in world.characters.items():
        yield Relation(id, "at", character.at)
        for topic in character.told:
            yield Relation(id, "told", TOPIC + topic)
        for topic in character.heard:
            yield Relation(id, "heard", TOPIC + topic)
