from __future__ import annotations

import msgspec
import pytest

from tta_http import ANONYMOUS, PUBLIC, TEXT, Permission, Principal
from tta_http.principals import is_permission


def holding(*permissions: str) -> Principal:
    return Principal("anna", "key", permissions=frozenset(permissions))


@pytest.mark.parametrize(
    ("held", "wanted"),
    [
        ("runs:read", "runs:read"),
        ("*:read", "runs:read"),
        ("runs:*", "runs:cancel"),
        ("tools:*", "tools:execute:math.add"),
        ("tools:execute:*", "tools:execute:math.add"),
        ("*:*", "tools:execute:math.add"),
        ("text:read", "text:read"),
    ],
)
def test_what_is_held_covers(held: str, wanted: str) -> None:
    assert holding(held).may(wanted)


@pytest.mark.parametrize(
    ("held", "wanted"),
    [
        ("runs:read", "runs:cancel"),
        ("*:read", "runs:cancel"),
        ("*:read", "runs:read:all"),
        ("tools:execute:math.add", "tools:execute:math.sub"),
        ("tools:execute", "tools:execute:math.add"),
        ("*:*", TEXT),
        ("*:read", TEXT),
        ("text:*", TEXT),
        ("*:*", "nonsense"),
    ],
)
def test_what_is_held_does_not_cover(held: str, wanted: str) -> None:
    assert not holding(held).may(wanted)


def test_anybody_may_what_is_public_and_nobody_known_may_nothing_else() -> None:
    assert ANONYMOUS.may(PUBLIC)
    assert not ANONYMOUS.may("runs:read")


@pytest.mark.parametrize("text", ["", "runs", "runs:", "Runs:read", "runs:read ", "runs read", "public:"])
def test_what_is_no_permission_is_none(text: str) -> None:
    assert not is_permission(text)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, Permission)


def test_a_route_asks_for_no_wildcard_which_is_for_what_is_held() -> None:
    assert is_permission("runs:read")
    assert not is_permission("runs:*")
    assert [msgspec.convert(text, Permission) for text in ("runs:*", "*:read")] == ["runs:*", "*:read"]
