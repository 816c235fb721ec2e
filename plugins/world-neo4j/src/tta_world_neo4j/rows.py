"""A world as nodes and relations, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from tta_world import Head, NodeKind, Record, RelationKind, World
from tta_world.graph import nodes, relations

_MAPPINGS: Mapping[NodeKind, str] = {"place": "places", "thing": "things", "character": "characters"}
"""What is kept as a node each, and where it stands in a world."""


class Entity(NamedTuple):
    """A node: its kind, and its properties without the key."""

    kind: NodeKind
    properties: Mapping[str, Any]


class Link(NamedTuple):
    """A relation between two keys."""

    kind: RelationKind
    source: str
    target: str


class Graph(NamedTuple):
    """What stands for a world: nodes by key, and relations."""

    entities: Mapping[str, Entity]
    links: frozenset[Link]


EMPTY = Graph({}, frozenset())


def key_of(space: str, session: str) -> str:
    """Return the key of a session's world: as short as an index wants it, whatever the session's name."""
    digest = hashlib.blake2b(session.encode(), digest_size=20).hexdigest()
    return f"{space}:{digest}"


def graph_of(key: str, world: World) -> Graph:
    """Return the nodes and relations of a world."""
    entities: dict[str, Entity] = {}
    keys: dict[str, str] = {}
    for node in nodes(world):
        keys[node.id] = f"{key}/{node.kind}/{node.id}"
        entities[keys[node.id]] = Entity(node.kind, _properties(key, node.kind, node.id, node.name))
    for kind, field in _MAPPINGS.items():
        # Again, with what is to come back: of two with one id there is but one node in the graph.
        for id, value in getattr(world, field).items():
            data = msgspec.json.encode(value).decode()
            properties = {**_properties(key, kind, id, value.name), "data": data}
            entities[f"{key}/{kind}/{id}"] = Entity(kind, properties)
    links = frozenset(Link(each.kind, keys[each.source], keys[each.target]) for each in relations(world))
    return Graph(entities, links)


def properties_of(head: Head, world: World, ttl: float) -> dict[str, Any]:
    """Return the properties of the node that is the world itself."""
    rest = {
        name: getattr(world, name) for name in world.__struct_fields__ if name not in _MAPPINGS.values()
    }  # fmt: skip
    return {
        "version": head.version, "turn": head.turn, "owner": head.owner, "digest": head.digest, "at": head.at,
        "expires": head.at + ttl, "rest": msgspec.json.encode(rest).decode(),
        **{field: [*getattr(world, field)] for field in _MAPPINGS.values()},
    }  # fmt: skip


def head_of(session: str, node: Mapping[str, Any]) -> Head:
    """Return the head of a world whose node was read."""
    return Head(session, node["version"], node["turn"], node["owner"], node["digest"], node["at"])


def world_of(node: Mapping[str, Any], entities: Iterable[Mapping[str, Any]]) -> World:
    """Return the world of its nodes; raise `msgspec.DecodeError` or KeyError where somebody has damaged them."""
    found = {(row["kind"], row["id"]): msgspec.Raw(row["data"].encode()) for row in entities}
    raw = dict(msgspec.json.decode(node["rest"], type=dict[str, msgspec.Raw]))
    parts: dict[str, Any] = {**raw}
    for kind, field in _MAPPINGS.items():
        parts[field] = {id: found[kind, id] for id in node[field]}
    return msgspec.json.decode(msgspec.json.encode(parts), type=World)


def changes(key: str, records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return the rows of changes that are to be kept."""
    return [
        {
            "key": f"{key}/{each.version}",
            "properties": {
                "world": key, "version": each.version, "turn": each.turn,
                "record": msgspec.json.encode(each).decode(),
            },
        }
        for each in records
    ]  # fmt: skip


def record_of(row: Mapping[str, Any]) -> Record:
    """Return a change that was read."""
    return msgspec.json.decode(row["record"], type=Record)


def _properties(key: str, kind: NodeKind, id: str, name: str) -> dict[str, Any]:
    return {"world": key, "kind": kind, "id": id, "name": name}
