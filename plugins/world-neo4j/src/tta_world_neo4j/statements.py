"""What is said to Neo4j. Labels and types come from fixed lists; all else is a parameter."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tta_world import NodeKind, RelationKind
from tta_world.graph import RELATION_KINDS

LABELS: Mapping[NodeKind, str] = {
    "place": "Place", "thing": "Thing", "character": "Character", "player": "Player", "topic": "Topic",
}  # fmt: skip
TYPES: Mapping[RelationKind, str] = {
    "at": "AT", "exit": "EXIT", "holds": "HOLDS", "knows": "KNOWS", "told": "TOLD", "heard": "HEARD",
}  # fmt: skip

# The Community edition has no other constraints: what else must hold, the program checks.
SCHEMA = (
    "CREATE CONSTRAINT tta_world_key IF NOT EXISTS FOR (w:World) REQUIRE w.key IS UNIQUE",
    "CREATE CONSTRAINT tta_entity_key IF NOT EXISTS FOR (e:Entity) REQUIRE e.key IS UNIQUE",
    "CREATE CONSTRAINT tta_change_key IF NOT EXISTS FOR (c:Change) REQUIRE c.key IS UNIQUE",
    "CREATE INDEX tta_world_owner IF NOT EXISTS FOR (w:World) ON (w.space, w.owner)",
    "CREATE INDEX tta_world_expires IF NOT EXISTS FOR (w:World) ON (w.expires)",
    "CREATE INDEX tta_entity_world IF NOT EXISTS FOR (e:Entity) ON (e.world)",
    "CREATE INDEX tta_change_world IF NOT EXISTS FOR (c:Change) ON (c.world)",
)

HEAD = "MATCH (w:World {key: $key}) WHERE w.expires > $now RETURN w"
# The write lock first: what is read after it in the same statement is read under it. Isolation is read-committed, so
# of two writers who read before they lock both would find the version that they expect.
LOCK = """
MERGE (w:World {key: $key})
ON CREATE SET w.space = $space, w.session = $session, w.version = 0, w.expires = 0.0
SET w.lock = true
WITH w
RETURN w
"""
LOCK_IF_THERE = "MATCH (w:World {key: $key}) SET w.lock = true WITH w RETURN w"
STORE = "MATCH (w:World {key: $key}) SET w += $properties REMOVE w.lock"
ENTITIES = "MATCH (e:Entity {world: $key}) WHERE e.data IS NOT NULL RETURN e.kind AS kind, e.id AS id, e.data AS data"
MADE = "MATCH (c:Change {world: $key}) WHERE c.turn = $turn RETURN c.version AS version"
CHANGES = (
    "MATCH (c:Change {world: $key}) WHERE c.version > $after RETURN c.record AS record ORDER BY c.version LIMIT $limit"
)
ADD_CHANGES = "UNWIND $rows AS row MERGE (c:Change {key: row.key}) SET c += row.properties"
DROP_CHANGES = "MATCH (c:Change {world: $key}) WITH c ORDER BY c.version DESC SKIP $keep DELETE c"
DROP_ENTITIES = "UNWIND $keys AS key MATCH (e:Entity {key: key}) DETACH DELETE e"
WIPE_ENTITIES = "MATCH (e:Entity {world: $key}) DETACH DELETE e"
WIPE_CHANGES = "MATCH (c:Change {world: $key}) DELETE c"
WIPE_WORLD = "MATCH (w:World {key: $key}) DETACH DELETE w"
OWNED = "MATCH (w:World {space: $space, owner: $owner}) RETURN w.key AS key, w.session AS session"
ENDED = """
MATCH (w:World) WHERE w.expires <= $now AND w.space = $space
RETURN w.key AS key, w.session AS session LIMIT $limit
"""
PING = "RETURN 1 AS one"

ADD_ENTITIES = {
    kind: f"UNWIND $rows AS row MERGE (e:Entity {{key: row.key}}) SET e:{label}, e += row.properties"
    for kind, label in LABELS.items()
}
RELATE = {
    kind: f"""
UNWIND $rows AS row
MATCH (a:Entity {{key: row.source}}) MATCH (b:Entity {{key: row.target}})
MERGE (a)-[:{type}]->(b)
"""
    for kind, type in TYPES.items()
}
UNRELATE = {
    kind: f"""
UNWIND $rows AS row
MATCH (:Entity {{key: row.source}})-[r:{type}]->(:Entity {{key: row.target}})
DELETE r
"""
    for kind, type in TYPES.items()
}


def neighbours(depth: int, kinds: Collection[RelationKind]) -> str:
    """Say how to find what is near; ``depth`` is a number that was checked, since none can be a parameter here."""
    return f"""
MATCH (w:World {{key: $key}}) WHERE w.expires > $now
MATCH (a:Entity {{world: $key, id: $id}})
MATCH p = SHORTEST 1 (a)-[:{_types(kinds)}]-{{1,{depth:d}}}(b:Entity)
WHERE b.id <> $id
RETURN b.id AS id, b.kind AS kind, b.name AS name, min(length(p)) AS distance
"""


def path(longest: int, kinds: Collection[RelationKind]) -> str:
    """Say how to find a shortest way, on which an exit is gone one way."""
    return f"""
MATCH (w:World {{key: $key}}) WHERE w.expires > $now
MATCH (a:Entity {{world: $key, id: $start}}), (b:Entity {{world: $key, id: $end}})
MATCH p = SHORTEST 1
  (a) ((x)-[r:{_types(kinds)}]-(y) WHERE type(r) <> 'EXIT' OR startNode(r) = x){{1,{longest:d}}} (b)
RETURN [n IN nodes(p) | n.id] AS way, length(p) AS length ORDER BY length LIMIT 1
"""


def _types(kinds: Collection[RelationKind]) -> str:
    return "|".join(TYPES[kind] for kind in kinds or RELATION_KINDS)
