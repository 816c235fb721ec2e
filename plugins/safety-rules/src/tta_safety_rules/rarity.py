"""How rare phrases are, roughly: the rarer what is looked for, the fewer texts are looked at twice."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from math import fsum, prod

BREAK = " "
"""In an outline: where a word of ASCII begins or ends, and whatever is between two words."""
ANY = "\0"
"""In an outline: whatever, which may be nothing."""
_COMMON = (
    "i the and to a it my s in that t of you m me is on for with can do but have so this he was not what at how like "
    "don be ve she about said out know all if they we up just are get her been as when one feel now or there him no "
    "had want from alice his an time because think go your then got re going them has who again am back very would "
    "see by over more never myself years down right why good two ll did really should only say off much people day "
    "after make every even will could says tell still too other some way things d into stop help little well since "
    "love before being life take always here last thing were anything sure something any need went told our name does "
    "come first doesn someone thought talk boyfriend work let better away nothing where which than keep us "
    "relationship three having bad put same without night look through find their everything head year long home made "
    "school lot family while won man didn husband hear great oh friends its getting makes ever found also left ago "
    "old everyone once next hope sorry another wrong try wants together else used okay own took doing dad days friend "
    "talking eat past new thinking voice sleep mean best end house haven hurt around trying today whole wife anxiety "
    "nobody started live room depression until door leave came kids week hard yeah person times both mother child guy "
    "hit herself anymore doctor stay isn yes months looking mom im please feeling queen king lost might four soon "
    "these scared hand happy give use such five done heart each gone though ex many cut enough quite sex care tried "
    "ask self girl most bit move gets believe angry baby deal wanted hate round goes close girlfriend felt called "
    "call cat parents anyone phone making face few kind must hatter die mind job half mock lol mum turtle stopped "
    "gryphon heard afraid actually under point looked depressed kill sister start dead month tonight brother yet "
    "asked hands sad alone behind saying normal wasn gave idea high broke may real married fine turn daughter reason "
    "those somebody however understand son attack almost side thanks sometimes thank wish began mad problem different "
    "words break body already guys read moved game far second seen trust open panic father eyes drink weeks place "
    "moment car till pretty change tone 3 thoughts throw six cry issues between late bed morning sick saw seem eating "
    "hours run less wouldn rest recently comes rather hold dog sounds against course wait ten question low speak food "
    "story arm remember tea cried glad seems tired duchess check word seeing feelings able taking control large "
    "crying nice thinks feels rabbit dormouse coming happened either full dating sit telling small looks stuff "
    "problems water wake twice walk big mine turned tells write couldn replied yourself children party woman breathe "
    "fight minutes matter therapist money others everybody front constantly asking seemed worried lose taken ready "
    "sort listen wall died minute become set disorder drinking play nine knows watch white worse blood lie pain takes "
    "boy outside plan true anger show means part lately fact 2 voices poor knew maybe floor march cant added stand "
    "mouth god upset table couple young probably stupid decided cannot men arms living burn exactly fear lying dont "
    "weight cause women aren asleep mouse cold attacks happen handle court least cheating air teenager hair gonna "
    "chest guess hurts met whether along instead feet early losing often girls marriage beginning cheated"
)
"""The most frequent words of messages, the most frequent one first."""
_RANKS = {word: rank for rank, word in enumerate(_COMMON.split(), 1)}
_RARE = 0.002
_SHARE_OF_LETTER = 0.4
_RUNS = re.compile(r"[^\x00-\x7f]+")

Phrases = tuple[str, ...]
"""Each a part of a text's words with one space between them: " to die " are two words, "die " ends one."""


def phrases_of(outline: str) -> Phrases:
    """Return the phrases of an outline in their order; where it isn't ASCII, the longest run that isn't, alone."""
    if not outline.isascii():
        return (max(_RUNS.findall(outline), key=len),)
    return tuple(it for it in outline.split(ANY) if it.strip())


def weight(outlines: Iterable[str]) -> float:
    """Return roughly in which share of texts the phrases of any of these are."""
    # Rounded once: the same whatever the order, which in a set isn't the same in two processes.
    return fsum(prod(map(share, phrases_of(it))) for it in outlines)


@lru_cache(maxsize=100_000)
def share(phrase: str) -> float:
    """Return roughly in which share of texts a phrase is."""
    words = phrase.split()
    found = 1.0
    for place, word in enumerate(words):
        begins = place > 0 or phrase.startswith(BREAK)
        ends = place < len(words) - 1 or phrase.endswith(BREAK)
        found *= _share_of_word(word) if begins and ends else max(_RARE, _SHARE_OF_LETTER ** len(word))
    return found


def _share_of_word(word: str) -> float:
    # Zipf's law, fitted to messages: the most frequent word is in four of ten.
    return 1.5 / (_RANKS[word] + 3) if word in _RANKS else _RARE
