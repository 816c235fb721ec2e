from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tta_input_processor import parse
from tta_world import Focus, Intent, World

WorldMaker = Callable[..., World]

# What is typed, and what it means: commands joined by `;`, each with its slots' ids (or 'words').
SENTENCES = """
north                                      | go direction=north
N                                          | go direction=north
sw                                         | go direction=southwest
go north                                   | go direction=north
go to the north                            | go direction=north
I walk west                                | go direction=west
walking slowly westwards                   | go direction=west
head up                                    | climb direction=up
go upstairs                                | go direction=up
nroth                                      | go direction=north
north north up                             | go direction=north; go direction=north; go direction=up
go in                                      | go direction=in
step inside                                | go direction=in
go out                                     | go direction=out
leave                                      | leave
I go outside                               | go direction=out
back                                       | back
go back                                    | back
I turn around and go back                  | look; back
go back to the harbour                     | go place=harbour
go to the lighthouse                       | go place=lighthouse
I walk to the lighthouse.                  | go place=lighthouse
let's head over to the quay                | go place=harbour
I'd like to visit the beach, please        | go place=beach
could we go to the village green?          | go place=green
take me to the tower                       | go place=lighthouse
stroll down the lane towards the harbour   | go place=harbour
go to the lighthuose                       | go place=lighthouse
go to the tea-room                         | go place=inn
enter the tearoom                          | enter place=inn
climb the tree                             | climb thing=tree direction=up
climb up                                   | climb direction=up
climb down                                 | climb direction=down
follow the cat                             | follow person=moss
go and see Ines                            | go person=ines / follow person=ines
go on                                      | go direction=on
look                                       | look
look around                                | look
what do I see?                             | look
I look around me                           | look
l                                          | look
look at the old man                        | examine person=bram
x bench                                    | examine thing=bench
examine the painted map                    | examine thing=map
take a closer look at the bell             | examine thing=bell
inspect teh chest                          | examine thing=chest
look in the chest                          | search thing=chest manner='in' / search thing=chest
search the chest                           | search thing=chest
look for the shell                         | search thing=shell manner='for'
search                                     | search
read the book                              | read thing=tide-book
read book of tides                         | read thing=tide-book
what does the sign say?                    | read thing=map
listen                                     | listen
listen to the waves                        | listen thing=sea
I can hear something. I listen closely     | listen
smell the sea                              | smell thing=sea
touch the tree                             | touch thing=tree
I run my hand over the bark of the tree    | touch thing=tree
feel the tree                              | touch thing=tree
take the lantern                           | take thing=storm-lantern
take lamp                                  | take thing=storm-lantern
get key                                    | take thing=brass-key
pick up the key                            | take thing=brass-key
pick the key up                            | take thing=brass-key
I'll grab the brass key                    | take thing=brass-key
tkae the lantrn                            | take thing=storm-lantern
take the lantern and the key               | take thing=storm-lantern; take thing=brass-key
take key, book and twine | take thing=brass-key; take thing=tide-book; take thing=twine
take the lantern and go west               | take thing=storm-lantern; go direction=west
take the key, then open the chest with it  | take thing=brass-key; open thing=chest target=brass-key
take the key then go north. Then look      | take thing=brass-key; go direction=north; look
put the key in my pocket                   | take thing=brass-key
drop the key                               | drop thing=brass-key
put down the key                           | drop thing=brass-key
put the key down                           | drop thing=brass-key
put the key in the chest                   | put thing=brass-key target=chest manner='in'
put book on bench                          | put thing=tide-book target=bench manner='on'
give the twine to Bram                     | give thing=twine person=bram
give Bram the twine                        | give thing=twine person=bram
hand the old man the ball of twine         | give thing=twine person=bram
offer the key to the fisherman             | give thing=brass-key person=bram
show Bram the book                         | show thing=tide-book person=bram
give the cat a hug                         | hug person=moss
open the chest                             | open thing=chest
open chest with key                        | open thing=chest target=brass-key
shut the chest                             | close thing=chest
unlock the chest with the brass key        | unlock thing=chest target=brass-key
light the lantern                          | light thing=storm-lantern
light the lantern with the matches         | light thing=storm-lantern target=matches
turn on the lamp                           | light thing=storm-lantern
blow out the lantern                       | extinguish thing=storm-lantern
turn the lantern off                       | extinguish thing=storm-lantern
use the key                                | use thing=brass-key
use the key on the chest                   | use thing=brass-key target=chest manner='on'
use oil can with lantern                   | use thing=oil-can target=storm-lantern manner='with'
fill the lantern with oil                  | fill thing=storm-lantern target=oil-can
pour the oil into the lantern              | put thing=oil-can target=storm-lantern manner='into'
ring the bell                              | ring thing=bell
throw the key into the sea                 | throw thing=brass-key target=sea manner='into'
write in the book                          | write thing=tide-book
swim                                       | swim
hello                                      | greet
Hi Bram!                                   | greet person=bram
hello, Bram                                | greet person=bram
say hello to the cat                       | greet person=moss
wave to the fisherman                      | greet person=bram
"Good morning," I say to Bram.             | greet person=bram
"Hello there!"                             | greet
how are you?                               | greet
talk to Bram                               | talk person=bram
chat with the old man                      | talk person=bram
talk to Bram about the bell                | talk person=bram topic=bell
ask Bram about the key                     | ask person=bram topic=brass-key
ask him about the bell                     | ask person=bram topic=bell
Bram, where is the key?                    | ask person=bram topic=brass-key
"Where is the key?" I ask Bram             | ask person=bram topic=brass-key
do you know about the lighthouse?          | ask topic=lighthouse
tell me about the lighthouse               | ask topic=lighthouse
tell Bram about the shell                  | tell person=bram topic=shell
thank you                                  | thank
thanks, Bram                               | thank person=bram
thank the cat                              | thank person=moss
goodbye                                    | farewell
say goodbye to Bram                        | farewell person=bram
pet the cat                                | pet person=moss
I stroke the grey cat                      | pet person=moss
hug Bram                                   | hug person=bram
help Bram                                  | help-with person=bram
my name is Anna                            | introduce name='Anna'
I'm Anna                                   | introduce name='Anna'
call me anna marie                         | introduce name='Anna Marie'
I feel scared                              | feel
I'm so tired                               | feel
this makes me sad                          | feel
sad                                        | feel
tell Bram that I'm sad                     | feel person=bram
"I am afraid," I tell Bram                 | feel person=bram
I'm scared but I go in                     | feel; go direction=in
I want to go in but I'm scared             | hesitate direction=in wish=go; feel
I'd like to climb the tree, but I can't    | hesitate thing=tree direction=up wish=climb
I don't want to go in                      | decline direction=in wish=go
please don't take the key                  | decline thing=brass-key wish=take
I won't open the chest                     | decline thing=chest wish=open
never mind                                 | decline
no                                         | no
no thank you                               | no
yes please                                 | yes
wait                                       | wait
z                                          | wait
I wait here for a while                    | wait
rest                                       | rest
I lie down                                 | rest
sit down                                   | sit
sit on the bench                           | sit thing=bench
take a deep breath                         | breathe
breathe                                    | breathe
go to sleep                                | sleep
sing a song                                | sing
I start crying                             | cry
help                                       | help
how do I play?                             | help
inventory                                  | inventory
i                                          | inventory
what am I carrying?                        | inventory
where am I?                                | whereami
what can I do?                             | suggest
I don't know what to do                    | suggest
where is the lighthouse?                   | where place=lighthouse
how do I get to the harbour?               | where place=harbour
where can I find Ines                      | where person=ines
I can't find the key                       | where thing=brass-key
who is Ines?                               | who person=ines
is anybody here?                           | who
what is that bell?                         | what thing=bell
what time is it?                           | time
how's the weather?                         | weather
save                                       | save
quit                                       | quit
I have to go now                           | quit
again                                      | repeat
undo                                       | undo
kill the cat                               | harm person=moss
kick the bench                             | harm thing=bench
fly away                                   | impossible
my mother called me yesterday              | share
What is the meaning of life?               | wonder topic='the meaning of life'
lighthouse                                 | go place=lighthouse
Bram                                       | talk person=bram
the lantern                                | examine thing=storm-lantern
asdfgh jkl                                 | unclear
ＧＯ　ＮＯＲＴＨ                                   | go direction=north
“Hello there,” I say                       | greet
I don’t want to go in                      | decline direction=in wish=go
"""  # noqa: RUF001 - full-width letters and curly quotes are what is tested


def _table() -> list[tuple[str, list[str]]]:
    rows = [line.split("|") for line in SENTENCES.strip().splitlines()]
    return [(said.strip(), [r.strip() for r in meant.split(" / ")]) for said, meant in rows]


def _written(intent: Intent) -> str:
    commands = []
    for command in intent.commands:
        slots = [f"{role}={entity.id or repr(entity.text)}" for role, entity in command.slots.items()]
        commands.append(" ".join([command.name, *sorted(slots)]))
    return "; ".join(commands)


def _sorted(meant: str) -> str:
    commands = []
    for command in meant.split(";"):
        name, _, slots = command.strip().partition(" ")
        commands.append(" ".join([name, *sorted(re.findall(r"\w+=(?:'[^']*'|\S+)", slots))]))
    return "; ".join(commands)


@pytest.mark.parametrize(("said", "meant"), _table(), ids=[said for said, _ in _table()])
def test_a_sentence_means_what_a_reader_would_take_it_to_mean(world: World, said: str, meant: list[str]) -> None:
    assert _written(parse(said, world)) in [_sorted(one) for one in meant]


def test_there_are_enough_sentences() -> None:
    assert len(_table()) >= 120


ODD = """
take the lamp and put it in my pocket              | take thing=storm-lantern
who built the wall?                                | wonder
who lives here?                                    | who
who r u?                                           | ask
what's your name?                                  | ask
what is that noise?                                | listen
what does Bram think of Ines?                      | ask person=bram
go bakc                                            | back / go direction=back
go up the stairs                                   | climb direction=up / go direction=up
walk to the nearest person                         | go
go somewhere quiet                                 | go
can I help?                                        | help-with
I keep hearing her voice                           | share
I talked to my therapist yesterday                 | share
no, I don't                                        | decline
goodnight                                          | farewell
jump                                               | dance
I can't eat                                        | share
I feel all mixed about it                          | share / feel
it's warm here                                     | share
that was a long walk                               | share
juggle the shell                                   | impossible
where is this bus going?                           | wonder
is it stupid to cry?                               | may
am I a burden?                                     | may
is it my fault?                                    | may feel
make a wish                                        | think
let's not                                          | decline
I'd like a walk on the beach                       | go
I'd like a lamp                                    | take
hiya, who might you be?                            | ask
where is everybody?                                | who
can you stay?                                      | feel
jump up and down                                   | dance
Ines sent me                                       | tell
who might you be?                                  | ask
who might you be, sir?                             | ask
go get the lamp                                    | take
nice to meet you                                   | greet
it's raining                                       | weather
she used to sing to me                             | share
I want to go home                                  | quit
I just got to the harbour                          | go
take two rolls                                     | take
I'd be glad to                                     | yes
""".strip()


@pytest.mark.parametrize("row", ODD.splitlines(), ids=lambda row: row.split("|")[0].strip())
def test_what_people_type_who_do_not_play_adventures_is_understood(world: World, row: str) -> None:
    typed, _, meant = row.partition("|")
    names = [c.name for c in parse(typed.strip(), world).commands]

    assert names in [[word for word in one.split() if "=" not in word] for one in meant.split(" / ")]


def test_a_pronoun_means_who_is_here_before_who_was_only_talked_about(make_world: WorldMaker) -> None:
    world = make_world(at="green", focus=Focus(character="ines"))

    assert parse("give it to him", world).slots["person"].id == "bram"


def test_it_means_the_only_thing_that_lies_about(make_world: WorldMaker) -> None:
    world = make_world(at="beach")

    assert parse("take it", world).slots["thing"].id == "shell"


def test_an_offer_is_a_gift(make_world: WorldMaker) -> None:
    world = make_world(held=("shell",))

    for typed in ("I have a shell for you", "I brought you this shell", "the shell is for Bram"):
        assert parse(typed, world).name == "give", typed
    assert parse("I have a good heart for you", world).name != "give"
