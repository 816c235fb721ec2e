"""What checking a text costs by rules, heads, state and audit, next to a loop over compiled patterns: see README.md.

Every text is seen once: automata are built as they are needed, and look ten times faster on what they have seen. What
counts is processor time of the thread that checks, so that what else the machine does slows down nobody.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import anyio
import anyio.lowlevel
import anyio.to_thread
import msgspec

from tta_audit import Entry
from tta_safety import About, Verdict, judge
from tta_safety.layers import merged, read_layer
from tta_safety.rules import RuleSet, RuleText
from tta_safety_rules.builtin import built_in
from tta_safety_rules.checker import Checker
from tta_safety_rules.engine import Engine, spaced
from tta_safety_rules.head import load_head
from tta_safety_rules.loading import load_engine
from tta_safety_rules.warming import warm

ROOT = Path(__file__).parent.parent
LINES = ROOT / "plugins" / "safety-rules" / "data" / "train"
RULES = 1000
SHORT, LONG = (80, 160), (160, 500)
GUARD = ROOT / "build" / "bench-llm-guard" / "bin" / "python"
_CONSONANTS, _VOWELS = "bcdfghklmnprstvw", "aeiou"


# What is checked, and by which rules.


class Texts:
    """Makes texts that nobody has written, of words as they follow each other in lines that somebody has.

    Of fifty texts one is a crisis, which is more than anybody has seen in role-play; each comes once.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._random = random.Random(seed)
        lines = [msgspec.json.decode(line) for each in sorted(folder.glob("*.jsonl")) for line in each.open("rb")]
        self._crises = [it["text"] for it in lines if it.get("y") and it.get("text")]
        self._next: dict[str, list[str]] = {}
        for line in lines:
            if line.get("text") and not line.get("y"):
                for one, other in pairwise(["", *line["text"].split(), ""]):
                    self._next.setdefault(one, []).append(other)

    def make(self, count: int, length: tuple[int, int]) -> list[str]:
        """Return so many, each of a length between these."""
        return [self._one(self._random.randint(*length), crisis=not number % 50) for number in range(count)]

    def _one(self, length: int, *, crisis: bool) -> str:
        said = [self._random.choice(self._crises)] if crisis else []
        word = ""
        while len(" ".join(said)) < length:
            word = self._random.choice(self._next[word])
            if word:
                said.append(word)
        return " ".join(said)[: length + 10]


def read_texts(path: Path, length: tuple[int, int]) -> list[str]:
    """Return the texts of files of somebody else's, cut to a length, those of at least the shorter one."""
    found = []
    for file in sorted(path.glob("*.jsonl")) if path.is_dir() else [path]:
        found += [str(msgspec.json.decode(line)["text"]) for line in file.open("rb")]
    return [it[: length[1]] for it in dict.fromkeys(found) if len(it) >= length[0]]


def layer(count: int, *, version: int = 1) -> str:
    """Write made-up rules down, of the form that rules have: two alternatives, a gap of words, and two more."""
    chance = random.Random(7)
    common = [
        "want",
        "need",
        "going",
        "think",
        "feel",
        "make",
        "take",
        "stop",
        "never",
        "always",
        "cannot",
        "about",
        "tonight",
        "myself",
        "people",
        "friends",
    ]

    def word() -> str:
        return "".join(chance.choice(_CONSONANTS) + chance.choice(_VOWELS) for _ in range(chance.randint(2, 3)))

    def pattern() -> str:
        return rf"\b(?:{word()}|{chance.choice(common)}) (?:\w+ ){{0,3}}(?:{word()}|{word()})\b"

    rules = [
        {"id": f"made.{number}", "version": version, "category": "toxicity", "level": "warning",
         "patterns": [pattern()]} for number in range(count - 2)
    ]  # fmt: skip
    # Two that fire together: a verdict of two sets at once would show both versions.
    rules += [
        {"id": f"pair.{number}", "version": version, "category": "toxicity", "level": "warning",
         "patterns": [r"\bzygomorphic\b"]} for number in range(2)
    ]  # fmt: skip
    return json.dumps({"version": 1, "rules": rules})


def made_up(version: int) -> RuleText:
    """Return as many rules as are missing beside the built-in ones."""
    return RuleText(layer(RULES - len(merged(built_in()).rules), version=version), str(version), "made up")


def rule_set(count: int) -> RuleSet:
    """Return the built-in rules and as many made-up ones as are missing; of ten all are made up."""
    brought = [] if count < 100 else [*built_in()]
    have = len(merged(brought).rules) if brought else 0
    return merged([*brought, read_layer(layer(count - have), "made up")])


# The whole of it.


class Times(NamedTuple):
    """What texts took, in seconds of the processor."""

    per_second: float
    p99: float


def summary(took: Sequence[float]) -> Times:
    return Times(len(took) / sum(took), sorted(took)[int(len(took) * 0.99)])


async def ours(engine: Engine, texts: Sequence[str]) -> Times:
    """Check texts as a turn does: folded, searched, scored, with the state of their session, judged, and recorded."""
    checker = Checker(engine, load_head())
    encode = msgspec.json.Encoder().encode
    took: list[float] = []
    state = b""
    for number, text in enumerate(texts):
        began = time.thread_time()
        turn = number % 20 + 1
        about = About(user="anna", locale="en", country="US", turn=turn)
        judged = await checker.examine(text, "player", about, state=state if turn > 1 else b"")
        verdict = judge({"safety-rules": judged.verdict}, "player")
        encode(entry(verdict))
        took.append(time.thread_time() - began)
        state = judged.verdict.state
    return summary(took)


def entry(verdict: Verdict) -> Entry:
    """Return what is recorded of a turn's check: rules, verdict and what was done, and no text."""
    return Entry(
        what="safety.check", who="anna", kind="player", outcome="done", target="session", owner="anna",
        details={
            "gen_ai.guardrail.verdict": verdict.level or verdict.status,
            "gen_ai.guardrail.rules": [it.rule for it in verdict.findings][:10],
            "gen_ai.guardrail.action": "annotated",
        },
    )  # fmt: skip


def loop(rules: RuleSet, texts: Sequence[str]) -> Times:
    """Check texts as the predecessor does: one compiled pattern after the other, and what matches is written down."""
    patterns = [
        (rule.id, rule.level, re.compile(spaced(pattern), re.IGNORECASE))
        for rule in rules.rules
        for pattern in rule.patterns
    ]
    took = []
    for text in texts:
        began = time.thread_time()
        [(name, level) for name, level, pattern in patterns if pattern.search(text)]
        took.append(time.thread_time() - began)
    return summary(took)


def guard(rules: RuleSet, texts: Sequence[str]) -> Times | None:
    """Let llm-guard's scanners that need no model check texts, in its own environment; None where there is none."""
    if not GUARD.exists():
        return None
    patterns = [spaced(it) for rule in rules.rules for it in rule.patterns]
    told = json.dumps({"patterns": patterns, "texts": list(texts)})
    command = [str(GUARD), str(Path(__file__).with_name("safety_llm_guard.py"))]
    done = subprocess.run(command, input=told, capture_output=True, text=True, check=True)
    return summary(json.loads(done.stdout.splitlines()[-1]))


def ready(count: int) -> Engine:
    """Return an engine as it is loaded, that has seen no text; of ten rules all are made up."""
    engine = load_engine(None, made_up(1)) if count == RULES else Engine(rule_set(count))
    warm(engine, None)
    return engine


# Rules that change while texts are checked.


class Reload(NamedTuple):
    """How long new rules took to come into force, the longest that no text was checked, and whether all is well."""

    seconds: float
    stall: float
    checked: int
    mixed: int


async def reload(texts: Sequence[str], ahead: Engine) -> Reload:
    """Check texts on and on while other rules are loaded in a thread."""
    checker = Checker(ahead, load_head())
    told = [made_up(number) for number in (2, 3, 4)]
    spans: list[float] = []
    gaps: list[float] = []
    mixed = checked = 0
    loading = True

    def load(text: RuleText) -> Engine:
        engine = load_engine(None, text, checker.engine)
        warm(engine, None)
        return engine

    async def change() -> None:
        nonlocal loading
        for text in told:
            began = time.perf_counter()
            checker.engine = await anyio.to_thread.run_sync(load, text)
            spans.append(time.perf_counter() - began)
            await anyio.sleep(0.2)
        loading = False

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(change)
        last = time.perf_counter()
        while loading:
            text = texts[checked % len(texts)] + " zygomorphic"
            judged = await checker.examine(text, "player", About())
            versions = {it.rule.partition("@")[2] for it in judged.verdict.findings if it.rule.startswith("pair.")}
            mixed += len(versions) != 1
            checked += 1
            await anyio.lowlevel.checkpoint()
            now = time.perf_counter()
            gaps.append(now - last)
            last = now
    return Reload(sorted(spans)[1], max(gaps), checked, mixed)


# From a crisis to the first one who is told.


async def told_after(rounds: int = 20) -> float:
    """Return the median of seconds from a crisis that is assessed to its first notification, in one process."""
    from tta_crisis import CRISIS
    from tta_crisis.testing import deployment, disclosure
    from tta_notify import NOTIFY, Notification, Receipt

    arrived: list[float] = []
    heard = anyio.Event()

    class Pager:
        async def notify(self, notification: Notification) -> Receipt:
            arrived.append(time.perf_counter())
            heard.set()
            return Receipt(notification.id, "1", "stored")

    took = []
    async with deployment("notify", "notify-memory", services={NOTIFY: Pager()}) as kernel:
        for number in range(rounds):
            heard = anyio.Event()
            arrived.clear()
            began = time.perf_counter()
            await kernel.get(CRISIS).open(disclosure(f"r-{number}", session=f"s-{number}"))
            with anyio.fail_after(10):
                await heard.wait()
            took.append(arrived[0] - began)
    return sorted(took)[rounds // 2]


def one_core() -> None:
    """Stay on one processor, where the system lets a process say so."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def row(name: str, measured: Times) -> str:
    return f"{name:44} {measured.per_second:9,.0f} a second, p99 {measured.p99 * 1000:7.3f} ms"


def main() -> None:
    """Print what came of it; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="texts of somebody else's: JSON lines with a field text, or a folder")
    parser.add_argument("--texts", type=int, default=6_000)
    parser.add_argument("--loop-texts", type=int, default=150)
    options = parser.parse_args()
    one_core()
    texts = Texts(LINES, 11)
    count = options.texts

    def supply(length: tuple[int, int]) -> Callable[[int], list[str]]:
        given: Iterator[str] = iter(read_texts(options.data, length) if options.data else ())
        return lambda many: [next(given, None) or texts.make(1, length)[0] for _ in range(many)]

    short, long = supply(SHORT), supply(LONG)
    rules = rule_set(RULES)
    # Right after a reload, since each engine is new; nothing is checked twice, whoever checks.
    shorts, longs = anyio.run(ours, ready(RULES), short(count)), anyio.run(ours, ready(RULES), long(count // 2))
    few = anyio.run(ours, ready(10), short(count))
    ratios = [
        ours_there.per_second / loop(rules, make(options.loop_texts)).per_second
        for ours_there, make in ((shorts, short), (longs, long))
    ]
    print(row("short lines, 1,000 rules", shorts))
    print(row("messages, 1,000 rules", longs))
    print(row("short lines, 10 rules", few))
    print(f"the loop takes {ratios[0]:.0f} times as long for lines, {ratios[1]:.0f} times for messages")
    rival = guard(rules, short(options.loop_texts))
    absent = "llm-guard isn't there: make bench-llm-guard brings it, and torch with it"
    print(row("llm-guard, Regex", rival) if rival else absent)
    changed = anyio.run(reload, short(2_000), ready(RULES))
    print(
        f"reloaded under load in {changed.seconds * 1000:.0f} ms, longest stall {changed.stall * 1000:.0f} ms, "
        f"{changed.checked} texts checked, {changed.mixed} by no set or two"
    )
    told = anyio.run(told_after)
    print(f"from a crisis to the first notification handed over: {told * 1000:.1f} ms")
    figures = {
        "short_per_s": shorts.per_second, "long_per_s": longs.per_second, "ratio_loop": min(ratios),
        "p99_ms": max(shorts.p99, longs.p99) * 1000, "rules_1000_to_10": few.per_second / shorts.per_second,
        "reload_ms": changed.seconds * 1000, "reload_stall_ms": changed.stall * 1000, "mixed": changed.mixed,
        "crisis_to_notification_ms": told * 1000,
    }  # fmt: skip
    print(json.dumps({name: round(figure, 2) for name, figure in figures.items()}))


if __name__ == "__main__":
    main()
