"""How tools have done, added up on Redis."""

from __future__ import annotations

from collections.abc import Mapping

from tta_redis import Redis, Replication
from tta_tools.figures import Figures

from . import keeping
from .layout import FigureKeys
from .part import Part, log, milliseconds, store_errors

_AT_ONCE = 100
_FAILURE, _TIME = "f:", "t:"


class Sums(Part):
    """The figures of at most ``most`` tools, each for ``keep_figures`` seconds after it was last called."""

    def __init__(self, redis: Redis, replication: Replication, *, most: int, keep_figures: float) -> None:
        super().__init__(redis, replication, most=most)
        self._figures = FigureKeys(redis)
        self._keep_figures = milliseconds(keep_figures)
        self._count = redis.script(keeping.COUNT)

    async def count(self, figures: Mapping[str, Figures]) -> None:
        keys = self._figures
        for id, each in figures.items():
            added = {
                "successes": each.successes,
                "cached": each.cached,
                **{_FAILURE + code: number for code, number in each.failures.items()},
                **{f"{_TIME}{place}": number for place, number in enumerate(each.times)},
            }
            counts = [part for name, number in added.items() if number for part in (name, number)]
            arguments = [id, self._most, self._keep_figures, repr(each.last_used_at), repr(each.seconds), *counts]
            with store_errors:
                # Sent twice, it would count twice.
                await self._count([keys.of(id), keys.all], arguments)

    async def figures(self) -> Mapping[str, Figures]:
        found: dict[str, Figures] = {}
        with store_errors:
            ids = [id.decode() for id in await self._redis.execute("ZRANGE", self._figures.all, 0, -1)]
            for start in range(0, len(ids), _AT_ONCE):
                some = ids[start : start + _AT_ONCE]
                commands = [("HGETALL", self._figures.of(id)) for id in some]
                for id, row in zip(some, await self._redis.pipeline(*commands, key=self._figures.all), strict=True):
                    if (figures := _decoded(id, row)) is not None:
                        found[id] = figures
        return found


def _decoded(id: str, row: object) -> Figures | None:
    if not isinstance(row, list | dict) or not row:
        return None
    pairs = row.items() if isinstance(row, dict) else zip(row[::2], row[1::2], strict=True)
    try:
        fields = {name.decode(): value for name, value in pairs}
        counts = {name: int(value) for name, value in fields.items() if name not in ("seconds", "last")}
        last_time = max((int(name[len(_TIME) :]) for name in counts if name.startswith(_TIME)), default=-1)
        return Figures(
            successes=counts.get("successes", 0),
            failures={name[len(_FAILURE) :]: number for name, number in counts.items() if name.startswith(_FAILURE)},
            cached=counts.get("cached", 0),
            seconds=float(fields.get("seconds", 0)),
            times=tuple(counts.get(f"{_TIME}{place}", 0) for place in range(last_time + 1)),
            last_used_at=float(fields.get("last", 0)),
        )
    except (ValueError, AttributeError) as exc:
        log.error("the figures of the tool %a can't be read, and are passed over: %s", id, exc)
        return None
