"""The conversation with a person in distress, which pauses the story and never shuts them out."""

from __future__ import annotations

from tta_safety import Verdict
from tta_safety.support import converse

SAFE = Verdict("checked", "safe")
CRISIS = Verdict("checked", "warning", 0.9, ("suicide",))


def test_the_story_goes_on_only_where_the_person_asks_for_it_and_says_nothing_of_a_crisis() -> None:
    begun = converse("I took all the pills", CRISIS, None, turn=3).support
    assert begun is not None
    assert converse("continue", CRISIS, begun).support is not None
    assert converse("look around", SAFE, begun).support is not None
    assert converse("Continue.", SAFE, begun).support is None


def test_what_a_conversation_is_about_only_grows() -> None:
    support = converse("x", CRISIS, None).support
    support = converse("y", Verdict("checked", "warning", 0.5, ("panic",)), support).support
    assert support is not None
    assert support.kinds == ("suicide", "panic")
    assert support.replies == 2
