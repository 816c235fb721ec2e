"""The card as a page for people."""

from __future__ import annotations

from tta_safety import Channel
from tta_safety_rules.weights import Card, HeadCard

_HEAD = """\
# Card of the heads of safety-rules

Written by `tta safety train`; `card.json` beside it has all of it, and the thresholds that count.

Two small models read a text beside the rules. The **statistical head** sums a byte for each word, and for each pair
and triple of stems, in each of its columns: the nine kinds of crisis, any of them, how glad or sad a text is, what a
generated text must not do (turn away from a risk or ignore it; agree with harm or egg it on; give a method; name a
dose; confirm a delusion; claim to be human, a therapist, or to have called somebody; claim expertise; bind a person
to itself, or tell what isn't its to tell; approach a minor; be sexual; hate), and any of these. Pairs, triples and
parts of words are kept by a hash of 35 bits, 2^17 of them at most, so that two seldom share a weight. A word's weight
holds what its place in the sentence model's space says, so that words from which nobody learned count, too. The
**deep head** (the extra `embeddings`) is a linear part upon a sentence model: the mean and the peak of its last
layer, and the means of two inner ones; it adds what the statistical head says. Both read a generated text with what
the player wrote before it.

Of a player's text the rules and a head give one risk by category: a logistic regression over what the head says of the
category and of any crisis, and over how sharp the sharpest rule is that matches, affirmed or doubtful. `weighing` in
`card.json` has its weights, and how sharp each rule is.
"""

_HOW_GOOD = """\
## How good they are

Of player's texts the figures are those of the rules and the head together. By a hash of each line's id the data fall
into fifths; minimal pairs stay together. Three were fitted; by the fourth calibration, weighing and operating points
were fixed, and by `role-play`; the last is measured. Which layers are read, and how much weights are held small, was
chosen within the first four; how large a share may be warned of, and which rules a head may contradict, was settled
with the figures below in sight, so that they flatter a little. What is shipped was then fitted on all: `tta safety
evaluate` on these lines would only show what was learned by heart. Messages and most replies were written by the same
hand as those learned from: on other people's words they will be less good. Replies are divided by template; their
harmless twins are as near to them as their author could write, and how many of these may be warned of was settled with
the figures in sight. A story that is warned of is told, one that is blocked isn't: the certain threshold is for that.
`crises by another hand` were not. `role-play` and `other role-play` are real talk at a game table, from which nothing
was learned; the other tuned nothing either. Counsellors are asked about crises, too, and few of those are labelled so:
of `counsel` some of what is warned of is meant to be.
"""


def page(card: Card) -> str:
    """Return the page in Markdown."""
    parts = [
        _HEAD,
        f"Made on {card.date}, with seed {card.seed} (nothing is drawn by lot). Sentence model: `{card.model}`.\n",
        "## Learned from\n\n" + "\n".join(f"- {line}" for line in card.data) + "\n",
        "## What they can't do\n\n" + "\n".join(f"- {line}" for line in card.limits) + "\n",
        _HOW_GOOD,
    ]
    for title, head in (("Statistical head", card.statistical), ("Deep head", card.deep)):
        parts += [f"### {title}, `{head.name}`\n", _figures(head), _thresholds(head)]
    return "\n".join(parts)


def _figures(head: HeadCard) -> str:
    rows = []
    for name, figures in head.figures.items():
        said = ", ".join(f"{what} {_number(what, value)}" for what, value in figures.items() if what != "n")
        rows.append(f"| {name} | {figures['n']:,.0f} | {said} |")
    return "\n".join(["| of | texts | figures |", "|---|---|---|", *rows]) + "\n"


def _thresholds(head: HeadCard) -> str:
    rows = []
    for channel in _CHANNELS:
        for column, point in sorted(head.thresholds[channel].items()):
            rows.append(f"| {channel} | {column} | {point.warning:.4f} | {point.escalate:.4f} |")
    return "\n".join(["| channel | column | warning from | certain from |", "|---|---|---|---|", *rows]) + "\n"


_CHANNELS: tuple[Channel, ...] = ("player", "story")


def _number(what: str, value: float) -> str:
    return f"{value:.3f}" if what.startswith("area") else f"{value:.2%}"
