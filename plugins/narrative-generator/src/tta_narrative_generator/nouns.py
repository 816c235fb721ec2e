"""Names with their grammar: articles, pronouns, plurals, lists, and verbs that agree."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tta_world import Character, Place, Thing, World, entity

from .grammar import GrammarError, Verbatim, Wording

_SILENT = ("hour", "honest", "honour", "heir")
_CONSONANT = re.compile(r"^(?:uni|use|usu|eu|one\b|once\b|u[bcdfghjklmnpqrstvwxyz]i)")
_PRONOUNS = {"she": ("she", "her"), "he": ("he", "him"), "they": ("they", "them")}
_IRREGULAR = {"is": "are", "was": "were", "has": "have", "doesn't": "don't", "isn't": "aren't"}


class Nouns(Wording):
    """Puts ids into words, as this world names them."""

    def __init__(self, world: World) -> None:
        self._world = world

    def phrase(self, value: object, modifier: str) -> str:
        """Put an id, several ids or plain words into the form that the modifier asks for."""
        if isinstance(value, (tuple, list)):
            return self._several([str(one) for one in value], modifier)
        text = str(value)
        found = None if isinstance(value, Verbatim) else entity(self._world, text)
        if found is None:
            return _capital(text) if modifier[:1].isupper() else text
        return self._one(found, modifier)

    def the(self, id: str) -> str:
        """Return a name with its definite article, if it takes one."""
        found = entity(self._world, id)
        return id if found is None else _the(found)

    def a(self, id: str) -> str:
        """Return a name with its indefinite article, if it takes one."""
        found = entity(self._world, id)
        return id if found is None else _a(found)

    def _one(self, found: Thing | Character | Place, modifier: str) -> str:
        lower = modifier.lower()
        if lower == "the":
            text = _the(found)
        elif lower == "a":
            text = _a(found)
        elif lower == "it":
            text = _it(found)
        elif lower == "them":
            text = _them(found)
        elif lower == "self":
            text = "themselves" if _plural(found) else "itself"
        elif lower == "in":
            preposition = found.preposition if isinstance(found, Place) else "by"
            text = f"{preposition} {_the(found)}"
        elif lower == "list":
            text = _a(found)
        elif not lower:
            text = found.name
        else:
            return self._verb(lower, plural=_plural(found))
        return _capital(text) if modifier[:1].isupper() else text

    def _several(self, ids: Sequence[str], modifier: str) -> str:
        lower = modifier.lower()
        if lower not in ("list", "a", "the", ""):
            first = entity(self._world, ids[0]) if ids else None
            return self._verb(lower, plural=len(ids) > 1 or (first is not None and _plural(first)))
        parts = [self.the(id) if lower == "the" else self.a(id) for id in ids]
        text = join(parts)
        return _capital(text) if modifier[:1].isupper() else text

    def _verb(self, verb: str, *, plural: bool) -> str:
        if not plural:
            return verb
        if verb in _IRREGULAR:
            return _IRREGULAR[verb]
        if verb.endswith(("ches", "shes", "sses", "xes")):
            return verb[:-2]
        if verb.endswith("s"):
            return verb[:-1]
        raise GrammarError(f"modifier {verb!r}: neither an article nor a verb")


def join(parts: Sequence[str], last: str = "and") -> str:
    """Join as in a sentence: `a`, `a and b`, `a, b and c`."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} {last} {parts[-1]}"


def article(noun: str) -> str:
    """Return `a` or `an`, by sound."""
    word = noun.lower()
    vowel = word[:1] in "aeiou" and not _CONSONANT.match(word)
    return "an" if vowel or word.startswith(_SILENT) else "a"


def _plural(found: Thing | Character | Place) -> bool:
    return "plural" in found.traits


def _the(found: Thing | Character | Place) -> str:
    return found.name if found.name[:1].isupper() else f"the {found.name}"


def _a(found: Thing | Character | Place) -> str:
    if isinstance(found, Character) or found.name[:1].isupper():
        return found.name
    if isinstance(found, Place) or "the" in found.traits:
        return f"the {found.name}"
    if "some" in found.traits:
        return f"some {found.name}"
    return found.name if _plural(found) else f"{article(found.name)} {found.name}"


def _it(found: Thing | Character | Place) -> str:
    if isinstance(found, Character):
        for trait, (subject, _) in _PRONOUNS.items():
            if trait in found.traits:
                return subject
    return "they" if _plural(found) else "it"


def _them(found: Thing | Character | Place) -> str:
    """Return the pronoun that stands after a verb or a preposition."""
    if isinstance(found, Character):
        return next((them for trait, (_, them) in _PRONOUNS.items() if trait in found.traits), "it")
    return "them" if _plural(found) else "it"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
