"""Sentences, however their text comes."""

from __future__ import annotations

import pytest

from tta_orchestration.sentences import LONGEST, Sentences

TEXTS = {
    "One. Two.": ["One. ", "Two."],
    "“Stop!” he said. Why?  Because…\n\nSo.": ["“Stop!” ", "he said. ", "Why?  ", "Because…\n\n", "So."],
    "a line\nanother": ["a line\n", "another"],
    'He said "go." \n "Where?" Nobody knew': ['He said "go." \n ', '"Where?" ', "Nobody knew"],
    "3.14 is no end, and neither is the last. ": ["3.14 is no end, and neither is the last. "],
    "... ' \" . ": ["... ", "' \" . "],
    "海は静かだ。灯台が光る！「誰かいる？」と聞く。3．14。": [
        "海は静かだ。",
        "灯台が光る！",
        "「誰かいる？」",
        "と聞く。",
        "3．14。",
    ],
    "समुद्र शांत है। दीपक जलता है।": ["समुद्र शांत है। ", "दीपक जलता है।"],
    "هل أنت هنا؟ البحر هادئ۔ نعم.": ["هل أنت هنا؟ ", "البحر هادئ۔ ", "نعم."],
    "等等……什么？！\n走吧。": ["等等……什么？！\n", "走吧。"],
    "": [],
}


def parted(text: str, size: int) -> list[str]:
    sentences = Sentences()
    found = [each for at in range(0, len(text), size) for each in sentences.add(text[at : at + size])]
    return [*found, *filter(None, [sentences.end()])]


@pytest.mark.parametrize("text", TEXTS)
def test_a_sentence_ends_where_the_next_one_begins(text: str) -> None:
    assert parted(text, 1000) == TEXTS[text]


@pytest.mark.parametrize(
    "text",
    [*TEXTS, "word " * 1000, "x" * (3 * LONGEST), "\n" * LONGEST + "a", ". " * LONGEST, "。" * 3000, "あ。」" * 900],
)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1999])
def test_it_does_not_matter_in_which_pieces_a_text_comes(text: str, size: int) -> None:
    found = parted(text, size)
    assert "".join(found) == text
    assert found == parted(text, 10**6)


def test_what_has_no_end_is_parted_between_words() -> None:
    found = parted("word " * 1000, 10)
    assert [len(each) for each in found] == [LONGEST, LONGEST, 1000]


def test_a_word_that_is_too_long_is_parted_anywhere() -> None:
    assert [len(each) for each in parted("x" * (LONGEST + 5), 10)] == [LONGEST, 5]
