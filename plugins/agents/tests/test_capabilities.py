from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tta_agents import Capability


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Story"},
        {"name": ""},
        {"version": "1.0"},
        {"version": "latest"},
        {"version": 1},
        {"priority": 0},
        {"priority": 5.5},
        {"type": "magic"},
        {"scope": "world"},
        {"status": "asleep"},
        {"tags": "story"},
        {"required_inputs": "world"},
        {"optional_inputs": [1]},
        {"estimated_duration_ms": -1},
        {"estimated_duration_ms": float("nan")},
        {"estimated_duration_ms": float("inf")},
        {"resource_requirements": {"gpu": float("inf")}},
        {"resource_requirements": {"gpu": float("nan")}},
    ],
)
def test_a_capability_is_checked_when_built_and_when_decoded(wrong: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"name": "story", **wrong}
    with pytest.raises(ValueError, match=r"capability"):
        Capability(**fields)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(fields, Capability)


def test_a_capability_travels(subtests: pytest.Subtests) -> None:
    sent = Capability(
        "story", "generation", "1.2.0-rc.1", tags=frozenset({"a", "b"}), metadata={"lang": ["de"]},
        resource_requirements={"gpu": 0.5}, required_inputs=frozenset({"world"}), estimated_duration_ms=3,
    )  # fmt: skip
    for codec in (msgspec.json, msgspec.msgpack):
        with subtests.test(codec.__name__):
            assert codec.decode(codec.encode(sent), type=Capability) == sent
