"""Rules of the predecessor, ``{"rules": [{"id", "pattern", "validation_type", …}]}``, as ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tta_kernel import ConfigError, Problem
from tta_program.files import parse
from tta_safety import CATEGORIES, KINDS, category
from tta_safety.layers import RulesError

_AS_THEY_ARE = ("id", "priority", "level", "sensitivity", "escalation_threshold")
_KINDS = {
    "suicidal_ideation": "suicide", "self_harm": "self_harm", "substance_abuse": "substance",
    "domestic_violence": "abuse", "eating_disorder": "eating_disorder", "panic_attack": "panic",
    "severe_depression": "depression",
}  # fmt: skip
_OF_THE_WHOLE = ("crisis_detection", "alternative_generation", "monitoring")


def imported(text: str, where: str) -> tuple[dict[str, Any], list[Problem]]:
    """Return a layer as it is written, and notes on what has no counterpart; raise a `RulesError` if there is none."""
    try:
        raw = parse(text, where)
    except ConfigError as error:
        raise RulesError(*error.problems) from None
    if not isinstance(raw, Mapping) or not isinstance(raw.get("rules"), list):
        raise RulesError(Problem(where, "is no file of the predecessor's rules", "it has a list under 'rules'"))
    notes = [
        Problem(f"{where}: {key}", "has no counterpart", "see plugins.safety-rules.config", note=True)
        for key in _OF_THE_WHOLE
        if key in raw
    ]
    rules = []
    problems = []
    for number, old in enumerate(raw["rules"], 1):
        if not isinstance(old, Mapping) or not isinstance(old.get("id"), str):
            problems.append(Problem(f"{where}: rule {number}", "has no id", "give it one"))
            continue
        rules.append(_rule(old, f"{where}: rule {old['id']}", notes))
    if problems:
        raise RulesError(*problems)
    own = sorted({it["category"] for it in rules} - {*CATEGORIES})
    return {"version": 1, **({"categories": own} if own else {}), "rules": rules}, notes


def _rule(old: Mapping[str, Any], where: str, notes: list[Problem]) -> dict[str, Any]:
    new: dict[str, Any] = {key: old[key] for key in _AS_THEY_ARE if key in old}
    new["id"] = str(old["id"]).lower().replace(" ", "_")
    new["category"] = _category(str(old.get("category", "uncategorized")))
    new["validation"] = old.get("validation_type", "keyword")
    if old.get("context_aware") and new["validation"] == "keyword":
        new["validation"] = "context_aware"
    if old.get("pattern"):
        # A space is what may be between two words, so the predecessor's own way of saying that isn't needed.
        new["patterns"] = [str(old["pattern"]).lower()]
    flags = str(old.get("flags", "i"))
    if "i" not in flags:
        notes.append(Problem(where, "told capital letters apart, which isn't done any more", note=True))
    kind = _KINDS.get(str(old.get("crisis_type", "")), "")
    if kind in KINDS:
        new["kind"] = kind
    if old.get("therapeutic_context"):
        new["contexts"] = [old["therapeutic_context"]]
    if old.get("alternative_template"):
        new["alternative"] = str(old["alternative_template"])
    if "{" in new.get("alternative", ""):
        notes.append(Problem(where, "has a template with places to be filled, which stay as they are", note=True))
    if new["validation"] == "sentiment":
        new.pop("patterns", None)
    return {key: value for key, value in new.items() if value is not None}


def _category(name: str) -> str:
    try:
        return category(name)
    except ValueError:
        return name.strip().lower().replace(" ", "_").replace("-", "_")


def written(layer: Mapping[str, Any]) -> str:
    """Return a layer as YAML."""
    return msgspec.yaml.encode(layer).decode()
