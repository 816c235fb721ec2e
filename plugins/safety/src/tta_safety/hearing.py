"""What somebody says to a question, read no further than yes, no, enough, better, and "go on with the story".

The words are in ``support.yaml`` under ``hears``, by language, so whoever translates it translates them, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

LONGEST = 4000
"""How many characters of what was written are read."""


class Hearing:
    """Reads answers in one language."""

    def __init__(self, words: Mapping[str, Sequence[str]]) -> None:
        self._words = words
        self.is_yes = self._begins("yes")
        self.is_no = self._begins("no")
        self.is_better = self._has("better")
        self.is_angry = self._has("angry")
        self.asks_what_this_is = self._has("what_am_i")
        self.is_about_oneself = self._has("about_me")
        self._wants_people = self._has("reach_out")
        self._what_this_is = re.compile(rf"\b(?:{self._any('what_am_i')})", re.IGNORECASE)
        self.wants_the_story = self._is_request()

    def reaches_out(self, text: str) -> bool:
        """Say whether somebody asks for a person or for help: "are you a real person?" asks for none."""
        return self._wants_people(self._what_this_is.sub(" ", text[:LONGEST]).strip())

    def affirms(self, text: str) -> bool:
        """Say whether an answer says that it is about whoever writes it: with a yes, or in words."""
        return not self.wants_the_story(text) and (self.is_yes(text) or self.is_about_oneself(text))

    def _begins(self, name: str) -> Callable[[str], bool]:
        return _search(rf"^\W*(?:{self._any(name)})\b")

    def _has(self, name: str) -> Callable[[str], bool]:
        return _search(rf"\b(?:{self._any(name)})")

    def _is_request(self) -> Callable[[str], bool]:
        """Return what says whether a whole text is a wish to play on, and nothing else: "I can't go on" is none."""
        before, wish, after = map(self._any, ("on_before", "on", "on_after"))
        return _search(rf"^\W*(?:(?:{before})\W+)*(?:{wish})(?:\W+(?:{after}))*\W*$")

    def _any(self, name: str) -> str:
        return "|".join(self._words[name])


def _search(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern, re.IGNORECASE)

    def search(text: str) -> bool:
        # Who types on a telephone has curly apostrophes.
        return compiled.search(text[:LONGEST].replace("\u2019", "'")) is not None

    return search


def phrase(words: str) -> str:
    """Return the pattern of words as they stand: whoever adds a language writes phrases, which no text can hang."""
    return r"\s+".join(map(re.escape, words.split())) + r"\b"
