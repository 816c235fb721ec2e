"""Which protocol sees to what, and what its steps do as time goes by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from tta_crisis import CRISIS, CRISIS_STORE, LEVELS, Intervention, MemoryCrisisStore
from tta_crisis.protocols import protocol, shipped
from tta_crisis.testing import deployment, disclosure, finding, until
from tta_kernel import ConfigError, NoConfig, Plugin, hookimpl
from tta_notify import NOTIFY, Accepted, Channel, Entry, Message, NotifyLocal
from tta_safety import KINDS
from tta_sessions import SESSIONS, Consent, flags_of
from tta_sessions.flags import set_flags
from tta_workflows import WORKFLOWS, Run

ID = "r-1.player.suicide"
GIVEN = {name: f"input.{name}" for name in ("intervention", "kind", "level", "session", "turn")}


def quick(*steps: str) -> dict[str, Any]:
    """Return a protocol whose steps follow one another without a pause."""
    return {
        "steps": [{"id": each, "agent": f"crisis-{each}", "input": _input(each)} for each in steps],
        "on_failure": "keep",
    }  # fmt: skip


def _input(step: str) -> dict[str, str]:
    wanted = {"follow-up": ("intervention",), "pause": ("intervention", "session")}.get(step, tuple(GIVEN))
    return {name: GIVEN[name] for name in wanted}


def short(*steps: str) -> dict[str, Any]:
    return {"workflows": {"crisis-high": quick(*steps)}}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", LEVELS)
def test_each_kind_at_each_level_has_a_protocol_that_is_shipped(kind: str, level: str) -> None:
    definition = shipped()[protocol({}, kind, level)]
    agents = {step.agent for step in definition.steps}
    assert {"crisis-notify", "crisis-respond", "crisis-resources", "crisis-log"} <= agents
    if level in ("high", "critical"):
        assert {"crisis-pause", "crisis-escalate", "crisis-contact", "crisis-follow-up"} <= agents


def test_what_a_deployment_says_goes_before_and_the_narrowest_first() -> None:
    table = {"panic": "grounding", "panic.high": "worse", "critical": "ours"}
    assert protocol(table, "panic", "moderate") == "grounding"
    assert protocol(table, "panic", "high") == "worse"
    assert protocol(table, "suicide", "critical") == "ours"
    assert protocol(table, "suicide", "high") == "crisis-high"
    assert protocol({}, "panic", "moderate") == "crisis-low"
    assert protocol({}, "what nobody foresaw", "none") == "crisis-critical"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"suicid.high": "crisis-high"}, "is no kind, level, or kind.level"),
        ({"suicide": ""}, "names no workflow"),
        ({"suicide.high": "nobody-wrote-it"}, "nobody-wrote-it"),
    ],
)
async def test_a_table_that_leaves_something_without_a_protocol_is_an_objection(
    table: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        async with deployment(crisis={"need_durable": False, "protocols": table}):
            pass


async def test_a_deployment_whose_interventions_end_with_their_process_is_an_objection() -> None:
    with pytest.raises(ConfigError, match="keeps interventions in memory"):
        async with deployment(crisis={}):
            pass


async def over(kernel: Any, run: str) -> Run:
    async def ended() -> Run | None:
        found: Run | None = await kernel.get(WORKFLOWS).query(run)
        return found if found is not None and found.over else None

    found = await until(ended)
    assert found is not None
    return found


async def test_where_nobody_sees_to_it_others_are_told_and_a_reminder_follows() -> None:
    async with deployment(workflows=short("notify", "escalate", "follow-up")) as kernel:
        [opened] = await kernel.get(CRISIS).open(disclosure())
        run = await over(kernel, opened.run)
        assert run.status == "done", run
        entries: dict[str, Entry] = {
            each.notification.id: each for each in (await kernel.get(NOTIFY).page()).entries
        }  # fmt: skip
        found = await kernel.get(CRISIS).get(ID)
    assert set(entries) == {f"crisis.{ID}", f"crisis-escalated.{ID}", f"crisis-follow-up.{ID}"}
    escalated = entries[f"crisis-escalated.{ID}"].notification
    assert (escalated.severity, escalated.tier) == ("critical", 2)
    assert found is not None
    assert found.escalated_at
    assert found.followed_up_at


@pytest.mark.parametrize("resolution", ["helped", "false-alarm"])
async def test_what_is_resolved_is_not_escalated_and_a_false_alarm_not_followed_up(resolution: Any) -> None:
    store = MemoryCrisisStore(lambda: 1_790_000_000.0)
    without = ("workflows", "workflows-local", "workflows-memory", "crisis-memory")
    async with deployment(*without, services={CRISIS_STORE: store}) as kernel:
        [opened] = await kernel.get(CRISIS).open(disclosure(at=1_790_000_000.0))
        await kernel.get(CRISIS).resolve(ID, by="dr b", resolution=resolution)
    async with deployment(
        "crisis-memory", services={CRISIS_STORE: store}, workflows=short("escalate", "follow-up")
    ) as kernel:
        crises: Any = kernel.get(CRISIS)
        await crises.reach.begin(opened)
        await over(kernel, opened.run)
        told = {each.notification.id for each in (await kernel.get(NOTIFY).page()).entries}
    assert told == ({f"crisis-follow-up.{ID}"} if resolution == "helped" else set())


@pytest.mark.parametrize(
    ("flags", "kind", "told"),
    [
        ({"age_band": "adult", "consent": Consent(contact=True), "contact": "Mum"}, "suicide", True),
        ({"age_band": "teen", "consent": Consent(contact=True), "contact": "Mum"}, "suicide", True),
        ({"age_band": "adult", "contact": "Mum"}, "suicide", False),
        ({"age_band": "adult", "consent": Consent(contact=True)}, "suicide", False),
        ({"age_band": "child", "consent": Consent(contact=True), "contact": "Mum"}, "suicide", False),
        ({"consent": Consent(contact=True), "contact": "Mum"}, "suicide", False),
        ({"age_band": "adult", "consent": Consent(contact=True), "contact": "Mum"}, "abuse", False),
    ],
)
async def test_a_trusted_contact_is_told_where_that_is_agreed_and_safe(
    flags: dict[str, Any], kind: str, told: bool
) -> None:
    async with deployment(workflows=short("contact")) as kernel:
        await set_flags(kernel.get(SESSIONS), "s-1", "anna", **flags)
        [opened] = await kernel.get(CRISIS).open(disclosure("r-1", finding(kind)))
        assert opened.level == "high"
        run = await over(kernel, opened.run)
        assert run.status == "done", run
        entries = {each.notification.topic: each for each in (await kernel.get(NOTIFY).page()).entries}
    assert ("crisis-contact" in entries) is told
    if told:
        assert "Bert" not in str(entries["crisis-contact"])
        assert "Mum" in str(entries["crisis-contact"])


@pytest.mark.parametrize("knows", ["Anna", ""])
async def test_a_trusted_contact_whom_a_channel_reaches_is_told_directly_and_not_of_what(knows: str) -> None:
    sent: list[Message] = []

    class Mail(Channel):
        name = "mail"

        async def send(self, message: Message) -> Accepted:
            sent.append(message)
            return Accepted()

    class Mailing(Plugin[NoConfig]):
        @hookimpl(optionalhook=True)
        def notification_channels(self) -> Sequence[Channel]:
            return [Mail()]

    people = {"addresses": {"mail": "m@example.org"}}
    roster = {"need_humans": False, "contacts": {"Mum": {**people, "knows": knows}}, "roster": {"dr b": people}}
    more: Any = {"mailing": Mailing, "notify-local": NotifyLocal}
    async with deployment(workflows=short("contact"), more=more, notify=roster) as kernel:
        agreed: dict[str, Any] = {"age_band": "adult", "consent": Consent(contact=True), "contact": "Mum"}
        await set_flags(kernel.get(SESSIONS), "s-1", "anna", **agreed)
        [opened] = await kernel.get(CRISIS).open(disclosure("r-1", finding("substance")))
        await over(kernel, opened.run)

        async def told() -> bool:
            return any(each.topic == "contact" for each in sent)

        await until(told)
        [entry] = [each for each in (await kernel.get(NOTIFY).page()).entries if each.notification.to == "Mum"]
    assert [each.person for each in entry.deliveries] == ["Mum"]
    [message] = [each for each in sent if each.topic == "contact"]
    for word in ("substance", "Bert", "s-1", "crisis", opened.id):
        assert word not in str(msgspec.structs.asdict(message))
    assert message.body.startswith(knows or "Somebody who named you")


@pytest.mark.parametrize(("went_on", "paused"), [(0, True), (3, True), (4, False)])
async def test_a_pause_that_comes_after_its_person_went_on_pauses_nothing(went_on: int, paused: bool) -> None:
    """A disclosure of the third turn; in the fourth the person had their story go on."""
    async with deployment(workflows=short("pause")) as kernel:
        await set_flags(kernel.get(SESSIONS), "s-1", "anna", went_on=went_on)
        [opened] = await kernel.get(CRISIS).open(disclosure())
        await over(kernel, opened.run)
        assert flags_of(await kernel.get(SESSIONS).get("s-1")).paused is paused


async def test_a_protocol_that_tells_nobody_is_not_told_before_it() -> None:
    async with deployment(workflows=short("pause")) as kernel:
        [opened] = await kernel.get(CRISIS).open(disclosure())
        await over(kernel, opened.run)
        assert list((await kernel.get(NOTIFY).page()).entries) == []


async def test_a_protocol_that_can_t_begin_begins_once_it_can() -> None:
    """Held workflows begin nothing, as those whose journal is away."""
    async with deployment() as kernel:
        workflows: Any = kernel.get(WORKFLOWS)
        crises: Any = kernel.get(CRISIS)
        opened: list[Intervention] = []

        class Refusing:
            away = True

            async def start(self, *args: Any, **more: Any) -> Any:
                if self.away:
                    raise ConnectionError("gone")
                return await workflows.start(*args, **more)

        refusing = Refusing()
        crises.reach._workflows = refusing
        opened += await crises.open(disclosure())
        assert len(crises.reach) == 1
        assert await kernel.get(NOTIFY).get(f"crisis.{ID}") is not None
        refusing.away = False

        async def begun() -> bool:
            return await workflows.query(opened[0].run) is not None

        assert await until(begun)
