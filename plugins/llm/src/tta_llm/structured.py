"""Answers of a certain shape: what a model is told of it, and whether what it wrote fits."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
from msgspec import Struct

from tta_tools.schema import Shape as JsonShape
from tta_tools.schema import inlined, problems

from .errors import LlmError
from .model import Schema

_DEEPEST = 16
_FENCED = re.compile(r"```[a-zA-Z]*\s*\n(.*?)```", re.DOTALL)


class Shape:
    """What an answer is to be: a JSON Schema, or a Struct."""

    def __init__(self, wanted: Schema | type[Struct]) -> None:
        self._type: type[Struct] | None = None
        self._shape: JsonShape | None = None
        if isinstance(wanted, type):
            self._type = wanted
            self.schema = _schema_of(wanted)
            return
        found = next(problems(wanted, _DEEPEST), "")
        if found:
            raise LlmError("invalid_request", f"the schema of the answer {found}", reached=False)
        self.schema = wanted
        self._shape = JsonShape(wanted)

    def read(self, text: str) -> tuple[Any, str]:
        """Return what a text says, and why it doesn't fit, or ""; the reason is for the model, and may quote it."""
        try:
            value = msgspec.json.decode(_json_in(text))
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as exc:
            return None, f"it is no JSON: {exc}"
        if self._type is not None:
            try:
                return msgspec.convert(value, self._type), ""
            except (msgspec.ValidationError, RecursionError) as exc:
                return None, str(exc)
        assert self._shape is not None
        if self._shape.fits(value):
            return value, ""
        return None, self._shape.error(value, "invalid_result", "the answer").detail

    def instruction(self) -> str:
        """Say to a model what it is to write, whether or not its server makes it do so."""
        return f"Answer with JSON alone, of this schema: {json.dumps(self.schema, ensure_ascii=False)}"


def _schema_of(type_: type[Struct]) -> Schema:
    whole = msgspec.json.schema(type_)
    definitions = whole.pop("$defs", {})
    try:
        found: Schema = inlined(whole, definitions)
    except ValueError:
        # It holds itself: a server that can't follow references refuses it, and then is told in words.
        return {**whole, "$defs": definitions}
    return found


def _json_in(text: str) -> str:
    """Return what stands between fences, or between the outermost braces: models like to say more than they should."""
    text = text.strip()
    if text.startswith(("{", "[")):
        return text
    # Before that it was only thinking, as some servers leave it in.
    text = text.rpartition("</think>")[2]
    if fenced := _FENCED.search(text):
        return fenced[1].strip()
    begin, end = text.find("{"), text.rfind("}")
    return text[begin : end + 1] if 0 <= begin < end else text
