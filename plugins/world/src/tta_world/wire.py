"""How long things may get: a session keeps a world for months, so everything in it has a cap."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

VERSION = 1
"""The version of these Structs on the wire; readers tolerate fields that they don't know."""

MAX_PLACES = 64
MAX_EXITS = 12
MAX_THINGS = 160
MAX_CHARACTERS = 32
MAX_FLAGS = 128
MAX_BEATS = 64
MAX_PHRASES = 160
MAX_SAID = 48
MAX_COMMANDS = 8
MAX_ENTITIES = 24
MAX_TOLD = 32

Id = Annotated[str, Meta(max_length=48)]
"""A short lower-case name with hyphens, such as ``harbour-bell``; empty means none."""

Name = Annotated[str, Meta(max_length=80)]
Line = Annotated[str, Meta(max_length=240)]
Prose = Annotated[str, Meta(max_length=1500)]
Ids = Annotated[tuple[Id, ...], Meta(max_length=MAX_TOLD)]
Names = Annotated[tuple[Name, ...], Meta(max_length=16)]
Traits = Annotated[tuple[Id, ...], Meta(max_length=12)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
"""From 0, not at all, to 1, entirely."""
