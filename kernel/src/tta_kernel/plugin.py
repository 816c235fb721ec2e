"""The contract between the kernel and a plugin."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any, ClassVar, Generic, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from .context import Context
from .services import Declares
from .shapes import fits
from .units import check_duration, is_struct

ConfigT = TypeVar("ConfigT", bound=msgspec.Struct)


class NoConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For plugins with nothing to configure."""


class Plugin(Declares, Generic[ConfigT]):
    """Subclass this, and point an entry point of the group ``tta.plugins`` at the class.

    Constructing it has no effects: what it does, it does in `lifespan`.
    """

    hookspecs: ClassVar[ModuleType | None] = None
    fallback: ClassVar[bool] = False
    """Yield to any other enabled provider of the one service that it provides."""
    autoload: ClassVar[bool] = True
    """False where it needs a server, an address or a secret: then it runs only where config names it."""
    surface: ClassVar[bool] = False
    """Start last and stop first."""
    start_timeout: ClassVar[float | None] = None
    stop_timeout: ClassVar[float | None] = None
    config_type: ClassVar[type[msgspec.Struct]] = NoConfig

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name, wanted in get_type_hints(Plugin).items():
            value = getattr(cls, name)
            if not fits(value, wanted):
                raise TypeError(
                    f"{cls.__name__}.{name} is a {type(value).__name__}, and not as in {wanted.__args__[0]}"
                )
            if name.endswith("_timeout") and value is not None:
                check_duration(f"{cls.__name__}.{name}", value, positive=True)
        if inspect.isasyncgenfunction(cls.lifespan) or inspect.iscoroutinefunction(inspect.unwrap(cls.lifespan)):
            raise TypeError(
                f"{cls.__name__}.lifespan is written `@asynccontextmanager`, `async def lifespan(self, ctx)`, "
                "with one `yield`"
            )
        if "__orig_bases__" in cls.__dict__:
            found = _config_type(cls, cls.__parameters__)  # type: ignore[attr-defined]
            if is_struct(found):
                cls.config_type = found

    def __init__(self, config: ConfigT) -> None:
        self.config = config

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        """Start before the ``yield``, stop after it, in one task from end to end."""
        yield

    async def prepare(self, config: ConfigT) -> Callable[[], None]:
        """Agree to a new config, or raise `ConfigError` or ValueError; change nothing yet.

        The returned function takes the config over and can't fail. A plugin that doesn't override
        this needs a restart for a new config.
        """
        raise AssertionError("the kernel asks only plugins that override this")


def _config_type(cls: Any, args: Sequence[Any]) -> Any:
    """Return what ``Plugin``'s parameter is for ``cls[args]``, through generic classes between."""
    if cls is Plugin:
        return args[0]
    known = dict(zip(cls.__parameters__, args, strict=False))
    for base in cls.__orig_bases__:
        origin = get_origin(base)
        if isinstance(origin, type) and issubclass(origin, Plugin):
            return _config_type(origin, [known.get(arg, arg) for arg in get_args(base)])
    return None
