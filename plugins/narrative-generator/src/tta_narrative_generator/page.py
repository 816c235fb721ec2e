"""One page while it is told: what stands of it, and what its reader has had already."""

from __future__ import annotations

from tta_agents import StepContext

from .sentences import pieces, sentences


class Page:
    """Hands a text on sentence by sentence; all that it has handed on is ``text``."""

    def __init__(self, ctx: StepContext) -> None:
        self._ctx = ctx
        self.text = ""
        self._said: set[str] = set()

    async def say(self, text: str) -> None:
        """Tell a text of whole sentences as it is."""
        for piece in pieces(text):
            await self._tell(piece)

    async def stand(self, text: str) -> None:
        """Tell a text as it is, to the last space."""
        if text:
            await self._tell(text)

    async def rest(self, text: str) -> None:
        """Tell what a text has beyond the page, with which it begins."""
        told = len(self.text)
        for piece in pieces(text):
            if told < len(piece):
                await self._tell(piece[told:])
            told = max(0, told - len(piece))

    async def add(self, before: str, sentence: str) -> None:
        """Tell a sentence, and ``before`` it what parts it from the one before."""
        apart = "" if not self.text or self.text[-1].isspace() else before
        await self._tell(apart + sentence)

    async def add_paragraphs(self, text: str) -> None:
        """Tell paragraphs after those before."""
        if not text:
            return
        told = self.text.rstrip()
        apart = "\n\n".removeprefix(self.text[len(told) :]) if told else ""
        first, *others = pieces(text)
        for piece in (apart + first, *others):
            await self._tell(piece)

    def has(self, sentence: str) -> bool:
        """Say whether the page has this sentence already."""
        return _key(sentence) in self._said

    async def _tell(self, piece: str) -> None:
        self._said |= {_key(sentence) for sentence in sentences(piece)}
        self.text += piece
        await self._ctx.emit(piece)


def missing(page: str, ending: str) -> str | None:
    """Return what a page lacks of an ending that it has begun; None where it hasn't, by at least a sentence."""
    first = next(iter(sentences(ending)), "")
    if not first:
        return None
    for size in range(min(len(page), len(ending)), len(first) - 1, -1):
        if page.endswith(ending[:size]):
            return ending[size:]
    return None


def _key(sentence: str) -> str:
    return "".join(char for char in sentence.casefold() if char.isalnum())
