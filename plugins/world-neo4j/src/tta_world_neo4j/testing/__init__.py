"""A private server for tests: a real Neo4j from Maven Central, which can be killed and started again."""

from __future__ import annotations

from .install import install
from .server import Neo4jServer, neo4j_server, shared_neo4j

__all__ = ["Neo4jServer", "install", "neo4j_server", "shared_neo4j"]
