"""What is asked for over HTTP: which rules are in force, and loading them again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from tta_http import CONFLICT, Principal, Route
from tta_safety.layers import RulesError

from .loading import Loader


class AskSafety(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing needs to be said."""


class SafetyView(msgspec.Struct, frozen=True):
    """The rules in force: what names exactly these, how many there are, by category, and what is wrong just now."""

    digest: str
    rules: int
    layers: Sequence[str]
    categories: Mapping[str, int]
    shadows: Sequence[str] = ()
    off: Sequence[str] = ()
    problems: Sequence[str] = ()


def view_of(loader: Loader) -> SafetyView:
    """Return what an operator sees of the rules in force."""
    engine = loader.engine
    rules = engine.rules.rules if engine else ()
    categories: dict[str, int] = {}
    for rule in rules:
        categories[rule.category] = categories.get(rule.category, 0) + 1
    return SafetyView(
        engine.rules.digest if engine else "",
        len(rules),
        engine.rules.layers if engine else (),
        dict(sorted(categories.items())),
        [rule.reference for rule in rules if rule.shadow],
        [rule.reference for rule in rules if not rule.enabled],
        [str(problem) for problem in loader.trouble],
    )


EXAMPLE = SafetyView("0f3a9c41d2b7e865", 27, ["built in: 10-suicide.yaml"], {"suicide": 8})


def safety_routes(loader: Callable[[], Loader]) -> Sequence[Route]:
    """Return the routes."""

    async def show(request: AskSafety, principal: Principal) -> SafetyView:
        return view_of(loader())

    async def reload(request: AskSafety, principal: Principal) -> SafetyView:
        try:
            await loader().reload()
        except RulesError as error:
            raise CONFLICT(f"the rules can't be used, and those before stay in force: {error}"[:2000]) from None
        return view_of(loader())

    return [
        Route(
            method="GET", path="/safety", permission="safety:read", request=AskSafety, response=SafetyView,
            summary="Show which rules are in force.", handler=show, example=EXAMPLE,
        ),
        Route(
            method="POST", path="/safety/reload", permission="safety:reload", request=AskSafety, response=SafetyView,
            summary="Load the rules again: whole, or not at all.", handler=reload, problems=(CONFLICT,),
            example=EXAMPLE,
        ),
    ]  # fmt: skip
