from __future__ import annotations

import pytest

from tta_input_processor import parse
from tta_world import FEELINGS, World

SAID = """
I feel sad                                      sadness
I'm so tired                                    tiredness
I am exhausted                                  tiredness
this makes me sad                               sadness
It makes me feel lonely                         loneliness
I'm feeling a bit anxious                       worry
I've been really worried lately                 worry
scared                                          fear
so angry right now                              anger
everything is too much                          overwhelm
I can't cope                                    overwhelm
I feel like a failure                           shame
I hate myself                                   shame
nobody cares                                    loneliness
I feel empty                                    numbness
I don't feel anything                           numbness
I don't know how I feel                         numbness
I miss my mother                                longing
I'm bored                                       boredom
I want to cry                                   sadness
my chest feels tight                            worry
I can't sleep                                   tiredness
I had a bad day                                 sadness
I'm not okay                                    sadness
I feel a tiny bit calmer                        calm
that felt good                                  relief
can somebody hold my hand                       loneliness
I'm not happy                                   sadness
I do not feel good                              sadness
I feel happy                                    joy
this is nice                                    calm
I feel safe here                                calm
I am grateful                                   gratitude
I feel better now                               relief
I'm proud of myself                             pride
I did it!                                       pride
I'm in love                                     love
I feel hopeful                                  hope
I feel hopeless                                 despair
I want to die                                   despair
I don't want to live anymore                    despair
everything feels heavy                          sadness
it hurts so much                                sadness
what should I do when it hurts this much        sadness
my mum died in march                            grief
our old dog died                                grief
since my best friend died I can't work          grief
my father is in hospital                        sadness
everything I do is wrong                        shame
no one will ever love me                        loneliness
can you just be with me for a bit               loneliness
I don't think I can do this                     overwhelm
nobody would notice if I was gone               despair
I'm tired of everything                         tiredness
😢                                              sadness
I'm fine 😊                                     joy
hello :(                                        sadness
"""


def _rows() -> list[tuple[str, str]]:
    rows = [line.rsplit(None, 1) for line in SAID.strip().splitlines()]
    return [(said.strip(), feeling) for said, feeling in rows]


@pytest.mark.parametrize(("said", "feeling"), _rows(), ids=[said for said, _ in _rows()])
def test_a_feeling_is_recognised(world: World, said: str, feeling: str) -> None:
    intent = parse(said, world)

    assert feeling in [felt.name for felt in intent.feelings if felt.present]
    assert "feel" in [command.name for command in intent.commands]
    assert "feeling" in intent.hints


@pytest.mark.parametrize(
    "said",
    [
        "go down", "the cat is sad", "are you sad?", "down", "ok", "nothing",
        "look at the blue sky", "take the lost key", "I am going to the harbour",
        "I have a good book", "fine", "is the lamp safe?", "go away", "I am here", "warm",
        "give the sad man a key",
    ],
)  # fmt: skip
def test_what_only_sounds_like_a_feeling_is_none(world: World, said: str) -> None:
    assert parse(said, world).feelings == ()


@pytest.mark.parametrize("said", ["I'm not scared anymore", "I am no longer afraid", "not afraid"])
def test_a_feeling_that_has_gone_is_not_present(world: World, said: str) -> None:
    (felt,) = parse(said, world).feelings

    assert (felt.name, felt.present) == ("fear", False)


def test_stronger_words_make_stronger_feelings(world: World) -> None:
    strengths = [
        parse(said, world).feelings[0].strength
        for said in ("I'm a bit sad", "I'm sad", "I'm so sad", "I'm very very devastated")
    ]

    assert strengths == sorted(strengths)
    assert strengths[0] < strengths[-1]


def test_two_feelings_are_both_kept(world: World) -> None:
    intent = parse("I feel happy but also a little sad", world)

    assert {felt.name for felt in intent.feelings} == {"joy", "sadness"}
    assert [command.name for command in intent.commands] == ["feel"]


def test_a_feeling_does_not_swallow_what_is_done(world: World) -> None:
    intent = parse("I'm scared, but I take the key and go north", world)

    assert [command.name for command in intent.commands] == ["feel", "take", "go"]


@pytest.mark.parametrize(
    "said",
    ["I want to die", "I want to kill myself", "jump off the tower", "I don't want to live",
     "I'd be better off dead", "I don't want to die... not really. I wish I was dead"],
)  # fmt: skip
def test_words_of_great_pain_carry_a_hint(world: World, said: str) -> None:
    assert "heavy" in parse(said, world).hints


def test_only_feelings_of_the_vocabulary_are_named(world: World) -> None:
    for said, _ in _rows():
        assert {felt.name for felt in parse(said, world).feelings} <= set(FEELINGS)


def test_what_a_sad_person_says_besides_is_not_looked_for(world: World) -> None:
    intent = parse("my mum died in march and I keep hearing her voice", world)

    assert [command.name for command in intent.commands] == ["feel"]


def test_a_frightened_person_may_still_take_what_is_there(world: World) -> None:
    intent = parse("I'm scared, but I take the lamp", world)

    assert [command.name for command in intent.commands] == ["feel", "take"]


@pytest.mark.parametrize(
    "said",
    [
        "it hurts so much that I want to die", "I'm tired and I don't want to live any more",
        "my dad died and nobody would miss me",
    ],
)  # fmt: skip
def test_despair_comes_first_whatever_else_is_said(world: World, said: str) -> None:
    intent = parse(said, world)

    assert intent.feelings[0].name == "despair"
    assert "heavy" in intent.hints


COMPARED = """
I'm not sad anymore, just empty                   -sadness numbness
I'm not angry with him, I'm disappointed          -anger sadness
it's not that I'm scared, I'm only tired          -fear tiredness
I wasn't frightened, I was furious                -fear anger
not lonely, only curious                          -loneliness curiosity
I'm less anxious than yesterday                   relief
I feel a bit less alone here                      relief
I'm not as sad as I was                           relief
I'm less happy than I used to be                  sadness
I'm more tired than sad                           tiredness
I never feel safe                                 worry
I hardly feel calm                                worry
I'm anything but calm                             worry
I'm neither happy nor sad                         numbness
I used to be afraid of the sea                    -fear
I used to feel ashamed of it                      -shame
I was sad yesterday, but today I'm okay           -sadness calm
I was furious once, now I'm just tired            -anger tiredness
I no longer feel guilty                           -shame
""".strip().splitlines()


@pytest.mark.parametrize("line", COMPARED)
def test_a_feeling_negated_compared_or_past_is_read_the_right_way_round(line: str, world: World) -> None:
    text, _, names = line.partition("   ")
    found = parse(text.strip(), world).feelings
    assert [feeling.name if feeling.present else f"-{feeling.name}" for feeling in found] == names.split()


TOLD = """
I lied to everyone
I put up with it for years
I took it badly
I burned my bridges
I've been carrying this for years
he walked out on us
she gave up on me
I closed myself off
I pushed everyone away
I gave up smoking
I ran away from home
I dropped out of school
I lost touch with them
I bottled it up
""".strip().splitlines()


@pytest.mark.parametrize("line", TOLD)
def test_a_verb_in_another_sense_does_nothing(line: str, world: World) -> None:
    assert {command.name for command in parse(line, world).commands} <= {"share", "feel"}
