"""Typed names for what one plugin offers and another uses."""

from __future__ import annotations

from typing import Any, ClassVar, Generic, TypeVar, cast

from .errors import PluginError

T = TypeVar("T")


class Service(Generic[T]):
    """The name of a service, carrying the type that its provider promises.

    Two keys are equal only if they are the same object: a name typed twice is two keys.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"Service({self.name!r})"


class Declares:
    """Which services a plugin's class names."""

    provides: ClassVar[tuple[Service[Any], ...]] = ()
    requires: ClassVar[tuple[Service[Any], ...]] = ()
    after: ClassVar[tuple[Service[Any], ...]] = ()
    """Services to start after, where anybody provides them."""


class ServiceRegistry:
    """Who offers what, right now."""

    def __init__(self) -> None:
        self._offers: dict[Service[Any], tuple[str, object]] = {}

    def add(self, key: Service[T], value: T, *, owner: str) -> None:
        """Offer ``value`` under ``key``; a second offer is a `PluginError` naming both owners."""
        if key in self._offers:
            raise PluginError(owner, f"provides {key}, and so does {self._offers[key][0]!r}")
        self._offers[key] = (owner, value)

    def remove_all(self, owner: str) -> None:
        """Withdraw whatever ``owner`` offers."""
        self._offers = {key: offer for key, offer in self._offers.items() if offer[0] != owner}

    def get(self, key: Service[T]) -> T | None:
        """Return what is offered under ``key``, or None."""
        return cast(T, self._offers[key][1]) if key in self._offers else None
