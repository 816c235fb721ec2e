"""Files of the system's own: where they stand, and that nobody else can read them."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from tta_program.state import StateError, check_private, locked, make_private, state_folder, write_private


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"TTA_STATE": "/var/lib/tta"}, "/var/lib/tta"),
        ({"TTA_STATE": "/a", "XDG_STATE_HOME": "/b"}, "/a"),
        ({"XDG_STATE_HOME": "/b"}, "/b/tta"),
        ({"XDG_STATE_HOME": "relative"}, str(Path.home() / ".local/state/tta")),
        ({"TTA_STATE": ""}, str(Path.home() / ".local/state/tta")),
    ],
)
def test_the_folder_is_where_the_environment_says(environ: dict[str, str], folder: str) -> None:
    assert str(state_folder(environ)) == folder


def test_to_ask_for_the_folder_makes_none(tmp_path: Path) -> None:
    assert not state_folder({"TTA_STATE": str(tmp_path / "state")}).exists()


def test_a_folder_that_is_made_is_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_private(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_folder_that_others_can_write_to_is_refused_with_the_way_out(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(StateError, match="chmod 700"):
        make_private(tmp_path)


def test_a_folder_in_whose_place_a_file_stands_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="TTA_STATE"):
        make_private(tmp_path / "file")


def test_a_file_that_is_not_there_is_private(tmp_path: Path) -> None:
    check_private(tmp_path / "none")  # What isn't private it refuses.


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610])
def test_a_file_that_others_can_use_is_refused_with_the_way_out(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "file"
    file.write_text("")
    file.chmod(mode)
    with pytest.raises(StateError, match="chmod 600"):
        check_private(file)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="is no file"):
        check_private(tmp_path)


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "file"
    for data in (b"one", b"another"):
        write_private(file, data)
        assert file.read_bytes() == data
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [*tmp_path.iterdir()] == [file]


def test_a_write_that_fails_leaves_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(StateError):
        write_private(tmp_path / "file", b"data")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_one_that_is_locked_is_waited_for(tmp_path: Path) -> None:
    order: list[str] = []
    inside = threading.Event()

    def other() -> None:
        inside.set()
        with locked(tmp_path / "lock"):
            order.append("other")

    thread = threading.Thread(target=other)
    with locked(tmp_path / "lock"):
        thread.start()
        inside.wait()
        order.append("first")
    thread.join()
    assert order == ["first", "other"]
