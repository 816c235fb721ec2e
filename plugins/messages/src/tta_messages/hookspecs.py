"""The hook with which a plugin declares what its messages say."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tta_kernel import hookspec


@hookspec()
def message_types() -> Mapping[str, type[msgspec.Struct]]:
    """Declare message types by name, each with the Struct that its body must fit.

    A message of a type that nobody declared is refused, so whoever shares a type with other
    plugins declares it in one of them.
    """
    raise AssertionError("a specification is never called")
