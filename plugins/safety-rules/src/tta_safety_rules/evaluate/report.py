"""Results as Markdown, and their curves as a picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .measures import Measure, median, quantile
from .results import RATES, Results, Slice

_NOTHING = "–"


def markdown(results: Results, title: str, *, picture: str = "") -> str:
    """Return the report."""
    parts = [f"# {title}", _counts(results)]
    if results.labelled:
        parts += ["## At the operating points", _operating([results.whole, *results.categories])]
        parts += ["## Whatever the operating point", _curves([results.whole, *results.categories])]
        parts.append(
            "A category's area and recall are of its own risk, against all harmless texts. Intervals hold with 95 % "
            "confidence: shares after Wilson, areas after DeLong."
        )
        if picture:
            parts.append(f"![recall by false alarms]({picture})")
        if results.groups:
            parts += ["## By group", _operating(results.groups), _curves(results.groups)]
    if results.talks:
        parts += ["## Conversations", _conversations(results)]
    parts += ["## Time", _times(results)]
    return "\n\n".join(parts) + "\n"


def _counts(results: Results) -> str:
    levels = ", ".join(f"{count:,} {level}" for level, count in sorted(results.levels.items()))
    return f"{results.texts:,} texts, {results.labelled:,} of them labelled: {levels}."


def _operating(slices: Iterable[Slice]) -> str:
    head = ("", "1", "0", "recall", "false alarms", "precision", "escalated", "falsely escalated")
    rows = [
        (
            it.name, f"{it.positive:,}", f"{it.negative:,}", shown(it.recall), shown(it.false_alarms),
            shown(it.precision), shown(it.escalated), shown(it.falsely_escalated),
        )
        for it in slices
    ]  # fmt: skip
    return _table(head, rows)


def _curves(slices: Iterable[Slice]) -> str:
    head = ("", "area", *(f"recall at {rate:.0%}" for rate in RATES))
    rows = [(it.name, shown(it.area, digits=3), *(shown(each) for each in it.recall_at)) for it in slices]
    return _table(head, rows)


def _conversations(results: Results) -> str:
    talks = results.talks
    assert talks is not None
    said = [f"Of {talks.risky:,} conversations with a risk it was seen in {talks.seen:,}"]
    if talks.turns:
        said.append(
            f", at turn {median(talks.turns):.0f} in the middle and {quantile(talks.turns, 0.9):.0f} in nine of ten; "
            f"{median(talks.delays):+.0f} turns from the first that is labelled in the middle, "
            f"at most {max(talks.delays):+d}"
        )
    said.append(f". Of {talks.harmless:,} without one {talks.falsely:,} were warned of.")
    return "".join(said)


def _times(results: Results) -> str:
    middle, most, greatest = results.microseconds
    said = f"A check took {middle:,.0f} µs in the middle, {most:,.0f} µs in 99 of 100, at most {greatest:,.0f} µs."
    if results.late is not None:
        said += f" The deep head, which had no limit here, would have been late for {shown(results.late)} of the texts."
    return said


def shown(measure: Measure | None, *, digits: int = 1) -> str:
    """Return a figure with its interval: a share in percent, an area as it is."""
    if measure is None:
        return _NOTHING
    if digits > 1:
        return f"{measure.value:.{digits}f} [{measure.low:.{digits}f}, {measure.high:.{digits}f}]"
    return f"{measure.value:.{digits}%} [{measure.low:.{digits}%}, {measure.high:.{digits}%}]"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)
