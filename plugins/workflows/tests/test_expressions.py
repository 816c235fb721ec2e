"""Conditions: what they say, what they refuse, and that they can do no harm."""

import contextlib
import random
from typing import Any

import pytest

from tta_workflows.expressions import ExpressionError, compile_expression

DATA: dict[str, Any] = {
    "input": {"turn": 3, "text": "look around", "on": True, "list": [1, {"a": "b"}], "none": None, "x": 0.5},
    "steps": {"intent": {"intent": "look"}, "a-b": {"n": 7}},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("input.turn > 2", True),
        ("1 < input.turn <= 3", True),
        ("1 < input.turn < 3", False),
        ("steps.intent.intent in ('look', 'examine')", True),
        ("steps.intent.intent not in ['go']", True),
        ("steps['a-b'].n % 2 == 1", True),
        ("input.list[1].a == 'b' and not input.none", True),
        ("input.list[9] is None", True),
        ("'around' in input.text", True),
        ("'turn' in steps.intent", False),
        ("len(input.list) == 2 or input.nobody.there", True),
        ("len(input.nobody)", None),
        ("input.nobody > 3", False),
        ("input.nobody < 3", False),
        ("input.nobody + 1", None),
        ("-input.x * 2 + 7 // 2 - 1 / 4", 1.75),
        ("'yes' if input.on else 'no'", "yes"),
        ("input.on is True and steps.intent.intent.deeper is None", True),
        ("3 in input.nobody", False),
        ("input.list in input.list", False),
        ("  input.turn == 3  ", True),
    ],
)
def test_an_expression_says_of_the_data_what_python_would(text: str, value: Any) -> None:
    found = compile_expression(text).value(DATA)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no expression"),
        ("input.turn >", "no expression"),
        ("input.turn = 3", "no expression"),
        ("open('x')", "open"),
        ("input.text.upper()", "upper"),
        ("().__class__", "is not allowed"),
        ("__import__('os')", "not allowed"),
        ("other.x == 1", "begins with input"),
        ("input", "write input.<name>"),
        ("input.a ** 2", r"\*\*"),
        ("input.a << 2", "<<"),
        ("[x for x in input.list]", "not allowed"),
        ("lambda: 1", "not allowed"),
        ("f'{input.a}'", "not allowed"),
        ("input.list[0:2]", "not allowed"),
        ("input.list[input.turn]", "not allowed"),
        ("{'a': 1}", "not allowed"),
        ("b'x' == input.a", "not allowed"),
        ("(y := input.a)", "not allowed"),
        ("len(input.a, input.b)", "not allowed"),
        ("len(*input.a)", "not allowed"),
        ("await input.a", "not allowed"),
        ("...", "not allowed"),
        ("1j", "not allowed"),
        ("not " * 50 + "input.a", "nested"),
        ("+".join(["1"] * 150), "parts"),
        ("'" + "x" * 2000 + "'", "characters"),
        ("\x00", "no expression"),
    ],
)
def test_what_is_no_such_expression_is_refused_and_says_what_and_where(text: str, why: str) -> None:
    with pytest.raises(ExpressionError, match=why):
        compile_expression(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("input.text > 3", "can't be compared"),
        ("input.text + 1", "only numbers"),
        ("input.text * 1000000", "only numbers"),
        ("input.turn / 0", "zero"),
        ("input.turn in 3", "nothing in"),
        ("len(input.turn)", "no length"),
        (" * ".join(["9999999999"] * 20), "too large"),
        ("1e308 * 1e308 // 1", ""),
    ],
)
def test_what_cannot_be_evaluated_raises_and_quotes_no_data(text: str, why: str) -> None:
    if why:
        with pytest.raises(ExpressionError, match=why) as caught:
            compile_expression(text).value(DATA)
        assert "look around" not in str(caught.value)
    else:
        assert compile_expression(text).value(DATA) != 0


def test_an_expression_names_the_paths_that_it_reads_once() -> None:
    found = compile_expression("input.a > 1 and steps['a-b'].c[0] and input.a < 3", ("input", "steps"))
    assert found.paths == (("input", "a"), ("steps", "a-b", "c", 0))


def test_other_roots_may_be_given() -> None:
    until = compile_expression("output.score >= 0.9", ("input", "steps", "output"))
    assert until.holds({"output": {"score": 0.95}})
    assert not until.holds({})


def test_no_text_makes_anything_but_an_expression_or_an_error() -> None:
    chance = random.Random(11)
    parts = [
        "input.a",
        "steps.b.c",
        "(",
        ")",
        "[",
        "]",
        " and ",
        " in ",
        "len(",
        "'x'",
        "1",
        ".",
        "__",
        "*",
        "not ",
        "\n",
        ",",
    ]
    for _ in range(3000):
        text = "".join(chance.choice(parts) for _ in range(chance.randint(1, 12)))
        with contextlib.suppress(ExpressionError):
            found = compile_expression(text).value(DATA)
            assert found is None or isinstance(found, bool | int | float | str | list | dict)
