"""The routes of all plugins: each asks for a permission, is described, and has an answer to show."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tta_access import ROLES
from tta_http import PUBLIC, TEXT, Principal, Route, RouteTable, declared
from tta_kernel import Kernel, KernelSettings, PluginSettings

PROBES = {"/livez", "/readyz", "/readyz/{check}", "/health"}
"""What anybody may ask for: they say no more than whether it is well."""
BACKENDS = ("redis", "neo4j")
"""Declare nothing, and need a server's address."""


PROVEN = {"/notifications/callback", "/notifications/link/{token}"}
"""What asks for a proof in the request itself: a signature, or a token that is used once."""


def installed(root: Path) -> Iterator[str]:
    ours = {f"tta-{path.parent.name}" for path in root.glob("plugins/*/pyproject.toml")}
    for entry in entry_points(group="tta.plugins"):
        if entry.dist is not None and entry.dist.name in ours:
            yield entry.name


@pytest.fixture
def table(root: Path) -> RouteTable:
    settings = KernelSettings(
        plugins={name: PluginSettings(enabled=not any(each in name for each in BACKENDS)) for name in installed(root)}
    )
    return declared(Kernel(settings).hooks)


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


def test_each_route_asks_for_a_permission_but_for_probes(table: RouteTable) -> None:
    public = {each.route.path for each in table.owned if each.route.permission == PUBLIC}

    assert len(table.owned) > 10
    assert public == PROBES | PROVEN


def test_what_only_reads_is_a_viewer_s_and_what_changes_something_is_not(table: RouteTable) -> None:
    viewer = Principal("viewer", "key", permissions=ROLES["viewer"])
    changing = [named(each.route) for each in table.owned if each.route.changes]
    allowed = [
        named(each.route)
        for each in table.owned
        if each.route.changes and viewer.may(each.route.permission) and each.route.path not in PROVEN
    ]

    assert changing != []
    assert allowed == []


def test_no_role_that_is_shipped_reads_what_people_wrote() -> None:
    assert [name for name, held in ROLES.items() if Principal("a", "key", permissions=held).may(TEXT)] == []


def test_each_route_with_a_struct_to_answer_shows_an_example(table: RouteTable) -> None:
    assert [
        named(each.route) for each in table.owned if isinstance(each.route.response, type) and not each.route.example
    ] == []
