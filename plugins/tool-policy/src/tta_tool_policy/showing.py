"""A policy as it may be shown: what stands under a key that looks like a secret's is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tta_program.secrets import REDACTED, looks_secret

from .rules import PolicyText

HIDDEN = ("api_key", "token", "password", "secret", "key", "auth")
"""What is in the name of a key whose value isn't shown, unless config says otherwise."""


def redacted(text: PolicyText, hidden: Sequence[str] = HIDDEN) -> Mapping[str, Any]:
    """Return a policy as plain data; what an argument with a secret's name is compared with is not shown."""
    words = [word.lower() for word in hidden]

    def shown(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: REDACTED if is_hidden(str(key)) else shown(each) for key, each in value.items()}
        if isinstance(value, list):
            return [shown(each) for each in value]
        return value

    def is_hidden(key: str) -> bool:
        return looks_secret(key) or any(word in key.lower() for word in words)

    found: Mapping[str, Any] = shown(_without_defaults(text))
    return found


def _without_defaults(value: Any) -> Any:
    """Return a Struct as plain data, with what it says alone: a rule has many fields, and most say nothing."""
    if isinstance(value, msgspec.Struct):
        return {
            field.encode_name: _without_defaults(getattr(value, field.name))
            for field in msgspec.structs.fields(value)
            if field.required or getattr(value, field.name) not in (field.default, {})
        }
    if isinstance(value, tuple | list):
        return [_without_defaults(each) for each in value]
    if isinstance(value, dict):
        return {key: _without_defaults(each) for key, each in value.items()}
    return value
