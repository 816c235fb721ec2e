"""Ways through the world: the shortest walk to a place, as far as it is open."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from tta_world import Exit, World, ways


def route(world: World, start: str, goal: str) -> list[Exit] | None:
    """Find the fewest exits that lead from one place to another along ways that show themselves.

    Doors and darkness don't count: who walks finds out. None if there is no way.
    """
    came: dict[str, tuple[str, Exit]] = {}
    queue = deque([start])
    while queue and goal not in came:
        at = queue.popleft()
        for exit in ways(world, at):
            if exit.to != start and exit.to not in came:
                came[exit.to] = (at, exit)
                queue.append(exit.to)
    if start == goal:
        return []
    if goal not in came:
        return None
    steps = []
    at = goal
    while at != start:
        at, exit = came[at]
        steps.append(exit)
    return steps[::-1]


def nearest(world: World, goals: Iterable[str]) -> str:
    """Return the goal that is fewest steps away, nothing if none can be walked to; never where the player is."""
    start = world.player.at
    walks = [(len(steps), goal) for goal in goals if goal != start and (steps := route(world, start, goal))]
    return min(walks, default=(0, ""))[1]


def company_near(world: World) -> str:
    """Return the nearest place where somebody could be talked to."""
    return nearest(world, {c.at for c in world.characters.values() if "animal" not in c.traits})
