"""The texts of ``support.yaml`` in a language, each list that it lacks being the English one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml


@cache
def support_texts(language: str) -> Mapping[str, Any]:
    """Return the lists of texts by name, in a language such as ``de``, or in English."""
    languages = _languages()
    return {**languages["en"], **languages.get(language, {})}


@cache
def _languages() -> Mapping[str, Mapping[str, Any]]:
    text = files(__package__).joinpath("support.yaml").read_text(encoding="utf-8")
    loaded: Mapping[str, Mapping[str, Any]] = yaml.safe_load(text)
    return loaded
