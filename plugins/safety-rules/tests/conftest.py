from __future__ import annotations

from collections.abc import Callable

import pytest

from tta_safety import Channel, Level
from tta_safety_rules.engine import Engine
from tta_safety_rules.folding import fold
from tta_safety_rules.fusion import Evidence
from tta_safety_rules.loading import load_engine

Look = Callable[..., Evidence]


@pytest.fixture(scope="session")
def engine() -> Engine:
    """Return the built-in rules; what makes them ready costs a second."""
    return load_engine(None, None)


@pytest.fixture(scope="session")
def look(engine: Engine) -> Look:
    """Return what says what the rules alone find in a text."""

    def found(text: str, channel: Channel = "player") -> Evidence:
        evidence = Evidence(channel)
        evidence.add_hits(engine.search(fold(text), channel))
        return evidence

    return found


@pytest.fixture(scope="session")
def level(look: Look) -> Callable[..., Level]:
    """Return what says the level of a text by the rules alone."""
    return lambda text, channel="player": look(text, channel).level()
