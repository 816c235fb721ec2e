"""What is said in a crisis, and how answers are heard, by language: the package's, and an operator's beside them.

A list that a language lacks is the English one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Annotated, Any

import msgspec
import yaml
from msgspec import Meta

from tta_kernel import ConfigError, Problem, suggest
from tta_program.files import parse

from .hearing import LONGEST, Hearing, phrase

_LARGEST = 1_000_000
"""How many characters a file may have."""
_LINES = "{lines}"
_COMMON = 0.2
"""From this share of common words on a text is in a language."""
_HINT = "docs/crisis.md shows a language"

_Text = Annotated[str, Meta(min_length=1, max_length=2000)]
_List = Annotated[tuple[_Text, ...], Meta(min_length=1, max_length=200)]


class TextsError(ConfigError):
    """A file of texts can't be used; ``problems`` say what is wrong, where, and how to mend it."""


class _Language(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A language: ``said`` by the names that the English texts have, and what is heard, as phrases.

    ``common`` are words by which the language is known. With them it counts as understood: the deployment's own rules
    judge texts in it.
    """

    said: dict[str, _List | dict[str, _List]] = {}
    hears: dict[str, _List] = {}
    common: Annotated[tuple[_Text, ...], Meta(max_length=5000)] = ()


class Texts:
    """Texts by language; ``understood`` are languages beside those that the checks know by themselves."""

    def __init__(
        self, languages: Mapping[str, Mapping[str, Any]], common: Mapping[str, frozenset[str]] | None = None
    ) -> None:  # fmt: skip
        self._languages = languages
        self._common = common or {}
        self._hearings: dict[str, Hearing] = {}

    @property
    def understood(self) -> Sequence[str]:
        """The codes of the languages that an operator's file says are judged by rules of their own."""
        return tuple(sorted(self._common))

    def of(self, locale: str) -> Mapping[str, Any]:
        """Return the lists of texts by name, in the language of a locale."""
        return {**self._languages["en"], **self._languages.get(_language(locale), {})}

    def hearing(self, locale: str) -> Hearing:
        """Return what reads answers in the language of a locale; in English where nobody has translated them."""
        language = _language(locale)
        if language not in self._languages:
            language = "en"
        if language not in self._hearings:
            own = self._languages[language].get("hears", {})
            self._hearings[language] = Hearing({**self._languages["en"]["hears"], **own})
        return self._hearings[language]

    def reads(self, text: str) -> bool:
        """Say whether a text is in one of the languages that are `understood`, by its common words."""
        if not self._common:
            return False
        words = re.findall(r"[^\W\d_]+", text[:LONGEST].casefold())
        most = max((sum(word in common for word in words) for common in self._common.values()), default=0)
        return most > 0 and most >= _COMMON * len(words)

    def with_languages(self, text: str, where: str) -> Texts:
        """Return these with the languages of a file; all of it is checked. Raises a `TextsError`."""
        if len(text) > _LARGEST:
            raise TextsError(Problem(where, f"has more than {_LARGEST:,} characters", "shorten it"))
        try:
            written = msgspec.convert(parse(text, where) or {}, dict[str, _Language])
        except ConfigError as error:
            raise TextsError(*error.problems) from None
        except msgspec.ValidationError as error:
            raise TextsError(Problem(where, str(error).replace(" - at `$", ", at `"), _HINT)) from None
        english = self._languages["en"]
        problems = [
            Problem(f"{where}: {code}{at}", what, hint)
            for code, language in written.items()
            for at, what, hint in _wrong(code, language, english)
        ]
        if problems:
            raise TextsError(*problems)
        languages = dict(self._languages)
        for code, language in written.items():
            hears = {name: tuple(map(phrase, phrases)) for name, phrases in language.hears.items()}
            languages[code] = {**languages.get(code, {}), **language.said, "hears": hears}
        common = {
            code: frozenset(word.casefold() for word in language.common)
            for code, language in written.items() if language.common
        }  # fmt: skip
        return Texts(languages, {**self._common, **common})


@cache
def shipped_texts() -> Texts:
    """Return the texts that the package brings."""
    return Texts(yaml.safe_load(files(__package__).joinpath("support.yaml").read_text(encoding="utf-8")))


def _wrong(code: str, language: _Language, english: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return what is wrong with a language: at which place, what, and how to mend it."""
    if code == "en":
        return [("", "can't be changed here", "what others lack is said in English; add other languages")]
    if not re.fullmatch(r"[a-z]{2,3}", code):
        return [("", "is no code of a language", "take one of ISO 639, such as de")]
    found: list[tuple[str, str, str]] = []
    if 0 < len(language.common) < _FEWEST:
        found.append((".common", f"has {len(language.common)} words", f"name {_FEWEST} and more, or none"))
    for name, phrases in language.hears.items():
        if name not in english["hears"]:
            found.append((f".hears.{name}", "is unknown", suggest(name, english["hears"])))
        found += [(f".hears.{name}", f"{each!a} has no letter", "write words") for each in phrases
                  if not any(map(str.isalpha, each))]  # fmt: skip
    for name, said in language.said.items():
        known = english.get(name)
        if known is None or name == "hears":
            found.append((f".said.{name}", "is unknown", suggest(name, {*english} - {"hears"})))
        elif isinstance(known, Mapping) is not isinstance(said, Mapping):
            found.append((f".said.{name}", "has another shape than the English one", _HINT))
        elif isinstance(said, Mapping):
            found += [(f".said.{name}.{key}", "is unknown", suggest(key, known)) for key in said if key not in known]
            found += [(f".said.{name}.{key}", *it) for key, texts in said.items()
                      for it in _wrong_slots(texts, known.get(key, ()))]  # fmt: skip
        else:
            found += [(f".said.{name}", *it) for it in _wrong_slots(said, known)]
    return found


_FEWEST = 50
"""How few common words may tell a language."""


def _wrong_slots(texts: Sequence[str], english: Sequence[str]) -> list[tuple[str, str]]:
    """Return what is wrong where whom to call is filled in, or isn't to be."""
    wanted = any(_LINES in each for each in english)
    found = []
    for each in texts:
        if wanted and each.count(_LINES) != 1:
            found.append((f"{each[:40]!a} has no place for whom to call, or two", f"write {_LINES} once"))
        if set("{}") & set(each.replace(_LINES, "") if wanted else each):
            found.append((f"{each[:40]!a} has a brace", "nothing fills it in; take it out"))
    return found


def _language(locale: str) -> str:
    return locale.replace("_", "-").partition("-")[0].lower()
