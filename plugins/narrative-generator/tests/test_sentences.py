from __future__ import annotations

import pytest

from tta_narrative_generator.nouns import article, join
from tta_narrative_generator.sentences import pieces, sentences, tidy


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("“Is it? Yes,” says Ines. She nods.", ["“Is it? Yes,” says Ines.", "She nods."]),
        ("“Is it?” says Ines. Yes.", ["“Is it?” says Ines.", "Yes."]),
        ("“Is it?” Ines asks. Yes.", ["“Is it?” Ines asks.", "Yes."]),
        ("It says: “Come in. Sit.” You do.", ["It says: “Come in. Sit.”", "You do."]),
        ("No end", ["No end"]),
        ("", []),
    ],
)
def test_sentences_are_cut_where_they_end_and_not_inside_of_speech(text: str, parts: list[str]) -> None:
    assert sentences(text) == parts


@pytest.mark.parametrize("text", ["One. Two.\n\nThree. “Four. Five.”", "One", "A.\n\nB.\n\nC. D."])
def test_pieces_joined_are_the_text_again(text: str) -> None:
    assert "".join(pieces(text)) == text


@pytest.mark.parametrize(
    ("rough", "clean"),
    [("it  is .", "It is."), ("“hello,” he says .", "“Hello,” he says."), ("", ""),
     ("3 owls.", "3 owls.")],
)  # fmt: skip
def test_tidying_sets_spaces_and_capitals(rough: str, clean: str) -> None:
    assert tidy(rough) == clean


@pytest.mark.parametrize(
    ("noun", "word"),
    [("apple", "an"), ("key", "a"), ("hour", "an"), ("unicorn", "a"), ("umbrella", "an"),
     ("old book", "an"), ("European map", "a"), ("one-eyed cat", "a"), ("honest man", "an")],
)  # fmt: skip
def test_articles_go_by_sound(noun: str, word: str) -> None:
    assert article(noun) == word


def test_lists_have_commas_and_an_and() -> None:
    assert [join(list("abc")[:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
