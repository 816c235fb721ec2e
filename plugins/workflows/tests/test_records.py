"""Records come back from a store as they went in, and from a newer release's, too."""

from typing import get_args

import msgspec
import pytest

from tta_workflows.plan import PlanError, restore_plan
from tta_workflows.records import AnyRecord, Asked, Done, Released, Started


@pytest.mark.parametrize(
    "record",
    [
        Started(at=1.5, step="story", attempt=2, agent="narrative-generator"),
        Done(at=2.0, step="story", output={"text": "\N{SNOWMAN}", "deep": [{"a": None}]}),
        Released(at=2.5, step="story", attempt=1, length=7),
        Asked(at=3.0, what="rollback", savepoint="world", by="operator"),
    ],
)
def test_a_record_comes_back_as_it_went_in(record: AnyRecord) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=AnyRecord) == record


def test_each_kind_of_record_is_in_the_union_and_has_a_tag_of_its_own() -> None:
    tags = [kind.__struct_config__.tag for kind in get_args(AnyRecord)]
    assert len(tags) == len(set(tags)) == 16


def test_what_a_newer_release_adds_to_a_record_is_ignored() -> None:
    packed = msgspec.msgpack.encode({"kind": "started", "at": 1.0, "step": "a", "mood": "new"})
    assert msgspec.msgpack.decode(packed, type=AnyRecord) == Started(at=1.0, step="a")


def test_a_stored_definition_that_is_nested_without_end_is_an_error_of_it() -> None:
    with pytest.raises(PlanError, match="the stored definition"):
        restore_plan(b"\x81\xa4more" + b"\x91" * 100_000 + b"\xc0")
