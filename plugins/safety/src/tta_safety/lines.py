"""Whom a person in distress can call, text or write to: lines by country, each with the page that says so.

The data is in ``lines.yaml``, and nothing in it is from memory: a line that no page confirmed isn't there. Where a
country has none, an international directory is named instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Annotated, Final

import msgspec
import yaml
from msgspec import Meta

from tta_kernel import ConfigError, Problem
from tta_program.files import parse

from .model import KINDS

ANY: Final = "any"
TOPICS = (*KINDS, "child_safety", ANY)
"""What a line may be for: a kind of crisis, the young (``child_safety``), or ``any`` distress."""
ALWAYS: Final = "24/7"
_SAID = 2
"""How many lines are named at first; a third only where these two aren't for any distress. More helps nobody."""
_SHARED = ("US", "CA")
"""Whose common number is named beside the directory where nobody knows the country."""

_LARGEST = 1_000_000
"""How many characters a file may have."""
_HINT = "docs/crisis.md shows what an entry has: a line names the page that was read for it, and the day"
_SLOTS = ("number", "lines", "name", "ways", "phone", "sms", "word", "url", "directory", "shared")
"""What the words may have filled in."""

_Page = Annotated[str, Meta(pattern=r"\Ahttps?://\S+\Z", max_length=500)]
_Number = Annotated[str, Meta(pattern=r"\A[0-9][0-9 -]*\Z", max_length=30)]


class LinesError(ConfigError):
    """The data of the lines can't be used; ``problems`` say what is wrong, where, and how to mend it."""


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line or a directory: at least one of ``phone``, ``sms`` and ``chat_url`` leads to people.

    ``sms_word`` is what to text, where the line asks for a word. ``hours`` is ``24/7``, other hours in words, or ""
    where no page says them; so are ``languages``, in codes of ISO 639. ``emergency_number`` is the country's, "" where
    no page confirmed it. ``source`` is the page that was read for the number, ``also`` are those for the rest, and
    ``verified_on`` is the day on which they were read.
    """

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    phone: _Number | None = None
    sms: _Number | None = None
    sms_word: Annotated[str, Meta(pattern=r"\A[A-Z]*\Z", max_length=20)] = ""
    chat_url: _Page | None = None
    topics: Annotated[tuple[str, ...], Meta(min_length=1)]
    hours: Annotated[str, Meta(max_length=100)] = ""
    languages: tuple[Annotated[str, Meta(pattern=r"\A[a-z]{2,3}\Z")], ...] = ()
    emergency_number: str = ""
    source: _Page
    also: tuple[_Page, ...] = ()
    verified_on: date


class _Emergency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    number: _Number
    source: _Page
    verified_on: date


class _Country(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    lines: Annotated[tuple[Line, ...], Meta(min_length=1)]
    emergency: _Emergency | None = None


class _Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    emergency: str
    no_emergency: str
    reach: str
    line: str
    call: str
    sms: str
    sms_word: str
    both: str
    web: str
    always: str
    not_always: str
    or_: str = msgspec.field(name="or")
    directory: str
    unknown: str


class _Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    words: dict[str, _Words]
    international: Annotated[tuple[Line, ...], Meta(min_length=1)]
    countries: dict[Annotated[str, Meta(pattern=r"\A[A-Z]{2}\Z")], _Country]


class _Overlay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an operator's file may say, all of it or some."""

    words: dict[Annotated[str, Meta(pattern=r"\A[a-z]{2,3}\Z")], _Words] = {}
    international: tuple[Line, ...] = ()
    countries: dict[Annotated[str, Meta(pattern=r"\A[A-Z]{2}\Z")], _Country] = {}


class Lines:
    """Lines by country, and the words in which they are named."""

    def __init__(self, data: _Data) -> None:
        self._data = data

    def lines_for(self, country: str, kind: str = "", *, locale: str = "") -> Sequence[Line]:
        """Return whom somebody in a country can reach: those for this kind of crisis first, then for any distress.

        ``country`` is a code of ISO 3166; where it is "", the region of ``locale`` is taken for it. Of equals, those
        that speak the locale's language come first. A country without any, or without one for this, gets the directory.
        """
        data = self._data
        found = data.countries.get(_where(country, locale))
        if found is None:
            return data.international
        language = _language(locale)
        own = _spoken_first((line for line in found.lines if kind and kind in line.topics), language)
        general = _spoken_first((line for line in found.lines if ANY in line.topics and line not in own), language)
        number = found.emergency.number if found.emergency else ""
        chosen = (*own, *(general or data.international))
        return tuple(msgspec.structs.replace(line, emergency_number=number) for line in chosen)

    def spoken(self, lines: Sequence[Line], *, locale: str = "") -> str:
        """Return in a sentence or two whom to call: the emergency number, then the first of these lines."""
        words = self._words(locale)
        said = list(lines[:_SAID])
        if not any(ANY in line.topics for line in said):
            said.extend([line for line in lines[_SAID:] if ANY in line.topics][:1])
        number = next((line.emergency_number for line in lines if line.emergency_number), "")
        sentences = [words.emergency.format(number=number) if number else words.no_emergency]
        if said and not any(line.phone or line.sms for line in said):
            sentences.extend(words.directory.format(name=line.name, url=_shown(line.chat_url)) for line in said)
        elif said:
            each = [words.line.format(name=line.name, ways=_ways(line, words)) for line in said]
            listed = f"{', '.join(each[:-1])} {words.or_} {each[-1]}" if len(each) > 1 else each[0]
            sentences.append(words.reach.format(lines=listed))
        return " ".join(sentences)

    def help_lines(self, *, locale: str = "", country: str = "", kind: str = "") -> str:
        """Return whom to call, in a sentence or two, in the language of the locale where it is known, else in English.

        Where nobody knows the country, the directory is named, and the number that several countries share.
        """
        lines = self.lines_for(country, kind, locale=locale)
        shared = self._shared()
        if _where(country, locale) or not shared:
            return self.spoken(lines, locale=locale)
        words = self._words(locale)
        directory = words.directory.format(name=lines[0].name, url=_shown(lines[0].chat_url))
        return f"{words.no_emergency} {words.unknown.format(directory=directory, shared=shared)}"

    def countries(self) -> Sequence[str]:
        """Return the codes of the countries that have lines of their own."""
        return tuple(sorted(self._data.countries))

    def all_lines(self) -> Sequence[Line]:
        """Return each line once, with the directory."""
        data = self._data
        return (*data.international, *(line for country in data.countries.values() for line in country.lines))

    def outdated(self, today: date, max_age: float) -> Sequence[str]:
        """Return what was read more than ``max_age`` seconds ago, each as a country and a name."""
        return tuple(f"{code}: {name}" for code, name, on in self._read() if (today - on).total_seconds() > max_age)

    def overlaid(self, text: str, where: str, *, today: date) -> Lines:
        """Return these with what a file says over them, by country and by language; all of it is checked.

        A country that is named in it has the lines that stand there, and no others; so has the directory, and the
        words of a language. An emergency number that isn't named stays. Raises a `LinesError`.
        """
        written = _read_overlay(text, where)
        countries = dict(self._data.countries)
        for code, country in written.countries.items():
            before = countries.get(code)
            emergency = country.emergency or (before.emergency if before else None)
            countries[code] = _Country(country.lines, emergency)
        data = _Data(
            {**self._data.words, **written.words}, written.international or self._data.international, countries
        )  # fmt: skip
        wrong = [*_wrong_in(written)]
        late = f"lies in the future; it is the day on which the page was read, {today} at the latest"
        wrong += [f"{code}: {name!r}: verified_on {late}" for code, name, on in Lines(_whole(written))._read()
                  if (on - today).days > 1]  # fmt: skip
        if wrong:
            raise LinesError(*(Problem(f"{where}: {each.partition(': ')[0]}", each.partition(": ")[2], _HINT)
                               for each in wrong))  # fmt: skip
        return Lines(data)

    def _read(self) -> Iterable[tuple[str, str, date]]:
        """Return what was read of a page: its country, its name, and the day."""
        for line in self._data.international:
            yield "international", line.name, line.verified_on
        for code, country in self._data.countries.items():
            for line in country.lines:
                yield code, line.name, line.verified_on
            if country.emergency:
                yield code, country.emergency.number, country.emergency.verified_on

    def _words(self, locale: str) -> _Words:
        words = self._data.words
        return words.get(_language(locale), words["en"])

    def _shared(self) -> str:
        """Return the number that the countries of `_SHARED` have in common, or "" where they have none."""
        numbers = [{line.phone for line in self.lines_for(code) if line.phone == line.sms} for code in _SHARED]
        return min((number for number in set.intersection(*numbers) if number), default="")


def read_lines(text: str) -> Lines:
    """Read the data of the lines and check all of it; raise a `LinesError` that says what is wrong and where."""
    try:
        data = msgspec.convert(yaml.safe_load(text), _Data)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise LinesError(Problem("the lines", f"can't be read: {error}")) from error
    wrong = [*_wrong_in(data)]
    if "en" not in data.words:
        wrong.append("words: English is missing, which everybody gets whose language isn't there")
    if wrong:
        raise LinesError(*(Problem(each.partition(": ")[0], each.partition(": ")[2]) for each in wrong))
    return Lines(data)


@cache
def shipped_lines() -> Lines:
    """Return the lines that the package brings."""
    return read_lines(files(__package__).joinpath("lines.yaml").read_text(encoding="utf-8"))


def _read_overlay(text: str, where: str) -> _Overlay:
    if len(text) > _LARGEST:
        raise LinesError(Problem(where, f"has more than {_LARGEST:,} characters", "shorten it"))
    try:
        return msgspec.convert(parse(text, where) or {}, _Overlay)
    except ConfigError as error:
        raise LinesError(*error.problems) from None
    except msgspec.ValidationError as error:
        raise LinesError(Problem(where, str(error).replace(" - at `$.", ", at `"), _HINT)) from None


def _whole(written: _Overlay) -> _Data:
    return _Data(written.words, written.international, written.countries)


def _wrong_in(data: _Data | _Overlay) -> Iterable[str]:
    yield from _wrong("international", data.international)
    for code, country in data.countries.items():
        yield from _wrong(code, country.lines)
    for language, words in data.words.items():
        for name in words.__struct_fields__:
            try:
                getattr(words, name).format_map(dict.fromkeys(_SLOTS, ""))
            except (KeyError, ValueError, IndexError, AttributeError):
                yield f"words.{language}: {name.rstrip('_')!r} has a slot that nothing fills, or a brace that is none"


def _wrong(where: str, lines: Iterable[Line]) -> Iterable[str]:
    for line in lines:
        if not (line.phone or line.sms or line.chat_url):
            yield f"{where}: {line.name!r} has neither phone, sms nor chat_url"
        if line.sms_word and not line.sms:
            yield f"{where}: {line.name!r} has a word to text, and no number for it"
        for topic in line.topics:
            if topic not in TOPICS:
                yield f"{where}: {line.name!r} has the topic {topic!r}; choose of {', '.join(TOPICS)}"


def _ways(line: Line, words: _Words) -> str:
    """Say how a line is reached, and when; the web only where there is nothing faster."""
    ways: list[str] = []
    if line.phone and line.phone == line.sms and not line.sms_word:
        ways.append(words.both.format(phone=line.phone))
    else:
        if line.phone:
            ways.append(words.call.format(phone=line.phone))
        if line.sms:
            ways.append((words.sms_word if line.sms_word else words.sms).format(word=line.sms_word, sms=line.sms))
    if not ways:
        ways.append(words.web.format(url=_shown(line.chat_url)))
    said = f" {words.or_} ".join(ways)
    if not line.hours:
        return said
    return f"{said}, {words.always if line.hours == ALWAYS else words.not_always}"


def _spoken_first(lines: Iterable[Line], language: str) -> Sequence[Line]:
    return tuple(sorted(lines, key=lambda line: language not in line.languages))


def _where(country: str, locale: str) -> str:
    """Return the code of the country: what is given, else the region of a tag such as ``en-GB`` or ``zh-Hant-TW``."""
    regions = (part for part in locale.replace("_", "-").split("-")[1:] if len(part) == 2 and part.isalpha())
    return (country or next(regions, "")).upper()


def _language(locale: str) -> str:
    return locale.replace("_", "-").partition("-")[0].lower()


def _shown(url: str | None) -> str:
    """Return an address as it is told to people."""
    return (url or "").partition("://")[2].removeprefix("www.")
