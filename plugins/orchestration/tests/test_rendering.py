"""A turn as its reader wants it: as Markdown that shows the same characters, and no longer than they like."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tta_orchestration import ORCHESTRATION, InputError, Narrate
from tta_orchestration.plain import plain
from tta_orchestration.rendering import Rendering, rendered
from tta_orchestration.sentences import Sentences
from tta_orchestration.testing import Scene, Teller, telling
from tta_safety import About, Channel, Verdict
from tta_sessions import SESSIONS

MARKDOWN = Narrate("markdown")
TEXTS = st.text(st.sampled_from("ab1 .!?\n\t*_[]()<>#+-=|~`&;:/\\@\"'é漢"), max_size=60)


def safe(text: str, channel: Channel, about: About) -> Verdict:
    return Verdict("checked", "safe")


def seen(markdown: str) -> tuple[set[str], str]:
    """Return which marks a renderer finds in Markdown, and the text that it shows, without spaces."""
    renderer = MarkdownIt("gfm-like", {"linkify": False}).enable(["table", "strikethrough"])
    kinds: set[str] = set()
    shown = ""
    for token in renderer.parse(markdown):
        kinds.add(token.type)
        for inner in token.children or ():
            kinds.add(inner.type)
            shown += inner.content
    return kinds, "".join(shown.split())


@given(TEXTS)
@example("[click](http://evil.example) <script>alert(1)</script> ![x](y) # head")
@example("- a\n1. b\n    code\n---\n===\n> q\n| a | b |\n|---|---|\n&amp; www.evil.example")
def test_whatever_was_written_markdown_shows_the_same_and_no_markup(text: str) -> None:
    kinds, shown = seen(rendered(text, MARKDOWN))
    assert kinds <= {"paragraph_open", "paragraph_close", "inline", "text", "softbreak", "hardbreak", "text_special"}
    assert shown == "".join(plain(text).split())


@given(TEXTS, st.sampled_from([MARKDOWN, Narrate()]))
def test_a_text_is_rendered_the_same_sentence_by_sentence(text: str, narrate: Narrate) -> None:
    sentences = Sentences()
    rendering = Rendering(narrate)
    pieces = [*sentences.add(text), sentences.end()]
    assert "".join(map(rendering.add, pieces)) == rendered(text, narrate)


class Marked(Teller):
    """Tells what was said, and what a stranger's model may write."""

    def pieces(self, scene: Scene) -> Any:
        return (f"You said {scene.text}. ", "The *sea* ", "answers \x1b[31m<b>. ", "Then it is quiet for a long time.")


async def told(narrate: Narrate, text: str = "[hi](x)") -> tuple[list[str], Any, Any]:
    async with telling(safe, teller=Marked) as k:
        async with k.get(ORCHESTRATION).stream_user_input(text, "s", narrate=narrate) as stream:
            pieces = [piece async for piece in stream]
        whole = await k.get(ORCHESTRATION).process_user_input(text, "s", narrate=narrate)
        return pieces, stream.response, (whole, await k.get(SESSIONS).get("s"))


async def test_a_turn_is_handed_out_as_markdown_and_kept_as_it_was_told() -> None:
    pieces, response, (whole, session) = await told(MARKDOWN)
    assert pieces[0] == "You said \\[hi\\](x). "
    assert pieces[1] == "The \\*sea\\* answers \\[31m\\<b\\>. "
    assert "".join(pieces) == response.text == whole.text
    assert session.context["history"][0]["told"].startswith("You said [hi](x). The *sea* answers")


async def test_a_turn_is_told_up_to_a_sentence_and_what_was_told_is_kept() -> None:
    pieces, response, (whole, session) = await told(Narrate(most=60))
    assert "".join(pieces) == response.text == whole.text
    assert response.text.strip() == "You said [hi](x). The *sea* answers [31m<b>."
    assert len(session.context["history"][0]["told"]) <= 60
    assert response.updated_context["world"] == {"turns": 1}


async def test_a_first_sentence_that_is_too_long_is_cut_between_two_words() -> None:
    _, response, _ = await told(Narrate(most=40), "a word " * 20)
    assert len(response.text) <= 40
    assert response.text.endswith("word a…") or response.text.endswith("a word…")


async def test_what_is_said_to_a_person_in_distress_is_never_cut() -> None:
    def crisis(text: str, channel: Channel, about: About) -> Verdict:
        return Verdict("checked", "warning", 0.8, ("suicide",))

    async with telling(crisis) as k:
        short = await k.get(ORCHESTRATION).process_user_input("help", "s", narrate=Narrate(most=40))
    assert short.outcome == "supportive"
    assert len(short.text) > 40


@pytest.mark.parametrize("narrate", [Narrate("html"), Narrate(most=3), Narrate(most=-1)])  # type: ignore[arg-type]
async def test_a_turn_that_is_wanted_as_nobody_tells_it_is_not_played(narrate: Narrate) -> None:
    async with telling(safe) as k:
        with pytest.raises(InputError, match="Markdown"):
            await k.get(ORCHESTRATION).process_user_input("hello", "s", narrate=narrate)
        assert await k.get(SESSIONS).get("s") is None
