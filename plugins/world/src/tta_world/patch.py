"""What changed from one world to the next, as data: small enough to keep, exact enough to redo and to undo."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Annotated, Any, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from .model import World
from .wire import VERSION

MAX_EDITS = 2000
"""More than the largest world has fields that are edited one by one."""
MAX_DEPTH = 8

Path = Annotated[tuple[str, ...], Meta(max_length=MAX_DEPTH)]


class PatchError(ValueError):
    """The patch isn't one of this world: it names what there isn't, or makes what is no world. It quotes nothing."""


class Edit(Struct, frozen=True, omit_defaults=True):
    """One value of a world, by the keys that lead to it: what it becomes, or that it is gone.

    ``value`` is in builtins. The empty path is the whole world. With ``keep`` the value is a list: of the one before,
    all but the first ``keep[0]`` items, at most ``keep[1]`` of them, stay before it; so the memory of a narrator, which
    forgets at one end and learns at the other, needn't be told whole.
    """

    path: Path
    value: Any = None
    gone: bool = False
    keep: tuple[int, int] | None = None


class Patch(Struct, frozen=True):
    """What changed, in the order in which it is to be done."""

    edits: Annotated[tuple[Edit, ...], Meta(max_length=MAX_EDITS)] = ()
    version: int = VERSION

    def __bool__(self) -> bool:
        """Whether anything changed."""
        return bool(self.edits)


def diff(before: World | None, after: World | None) -> Patch:
    """Return what makes ``after`` of ``before``; None is no world.

    `patched` gives ``after`` again, down to the order of its places, things and characters, in which they are listed to
    a player.
    """
    if after is None:
        return Patch(() if before is None else (Edit((), gone=True),))
    if before is None:
        return Patch((Edit((), _plain(after)),))
    return Patch(tuple(_edits((), before, after)))


def patched(world: World | None, patch: Patch) -> World | None:
    """Return the world with all that a patch says; raise `PatchError` where that isn't one."""
    plain: Any = None if world is None else _plain(world)
    for edit in patch.edits:
        plain = _edited(plain, edit)
    if plain is None:
        return None
    try:
        return msgspec.convert(plain, World)
    except (msgspec.ValidationError, RecursionError) as exc:
        raise PatchError(f"what the patch makes is no world ({type(exc).__name__})") from None


def disjoint(patch: Patch, others: Iterable[Patch]) -> bool:
    """Whether a patch changes nothing that any of the others has changed, so that their order doesn't matter."""
    taken = [edit.path for other in others for edit in other.edits]
    return not any(_touch(edit.path, path) for edit in patch.edits for path in taken)


def _touch(one: Path, other: Path) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value)


def _edits(path: Path, before: Any, after: Any) -> Iterator[Edit]:
    if isinstance(before, Struct) and type(before) is type(after):
        if before == after and not _has_mappings(type(before)):
            return
        for name in before.__struct_fields__:
            old, new = getattr(before, name), getattr(after, name)
            if old is not new:
                yield from _edits((*path, name), old, new)
    elif isinstance(before, Mapping) and isinstance(after, Mapping):
        yield from _edits_of_keys(path, before, after)
    elif before != after:
        yield _slid(path, before, after) or Edit(path, _plain(after))


@cache
def _has_mappings(kind: type[Struct]) -> bool:
    """Whether equal ones may list what is in them in different orders."""
    return any(_is_mapping(hint) for hint in get_type_hints(kind).values())


def _is_mapping(hint: Any) -> bool:
    kind = get_origin(hint) or hint
    if isinstance(kind, type) and issubclass(kind, Struct):
        return _has_mappings(kind)
    return kind is Mapping


def _edits_of_keys(path: Path, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Edit]:
    stay = [key for key in before if key in after]
    added = [key for key in after if key not in before]
    if [*stay, *added] != [*after]:
        # They stand in another order, and what is added always stands at the end.
        yield Edit(path, _plain(after))
        return
    for key in before:
        if key not in after:
            yield Edit((*path, key), gone=True)
    for key in stay:
        yield from _edits((*path, key), before[key], after[key])
    for key in added:
        yield Edit((*path, key), _plain(after[key]))


def _slid(path: Path, before: Any, after: Any) -> Edit | None:
    """Return how a list lost items at its beginning, or its end, and got others; None where it didn't."""
    if not (isinstance(before, list | tuple) and isinstance(after, list | tuple) and before and after):
        return None
    for start in (index for index, item in enumerate(before) if item == after[0]):
        common = _common(before[start:], after)
        if len(common) > 1:
            return Edit(path, _plain(after[len(common) :]), keep=(start, len(common)))
    return None


def _common(one: Any, other: Any) -> list[Any]:
    found = []
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        found.append(left)
    return found


def _edited(plain: Any, edit: Edit) -> Any:
    """Return builtins with one edit done; those that were given stay as they were."""
    if not edit.path:
        return None if edit.gone else _value(plain, edit)
    top = inner = _copy(plain)
    for key in edit.path[:-1]:
        # What has its default isn't in the builtins.
        inner[key] = _copy(inner.get(key, {}))
        inner = inner[key]
    last = edit.path[-1]
    if edit.gone:
        if last not in inner:
            raise PatchError("the patch takes something away that there isn't")
        del inner[last]
    else:
        inner[last] = _value(inner.get(last), edit)
    return top


def _copy(plain: Any) -> dict[str, Any]:
    if not isinstance(plain, dict):
        raise PatchError("the patch changes something within what has no parts")
    return dict(plain)


def _value(before: Any, edit: Edit) -> Any:
    if edit.keep is None:
        return edit.value
    start, count = edit.keep
    if not isinstance(before, list | tuple) or not isinstance(edit.value, list | tuple):
        raise PatchError("the patch changes a list that is none")
    if start < 0 or count < 0 or start + count > len(before):
        raise PatchError("the patch keeps more of a list than there is")
    return [*before[start : start + count], *edit.value]
