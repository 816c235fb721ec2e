"""The page for authors of backends: its plugin passes the contract as it stands, and each fault of a store is told."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

EXTRACT = re.compile(r"^`([\w/.-]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FAULTS = {
    "LockInTheStore": ("of_the_commits_of_two_stores_none_is_lost", "a lock in a store keeps no other out"),
    "LockInTheProcess": ("of_the_commits_of_two_processes_none_is_lost", "a lock within a process keeps no other out"),
    "LockThatStays": ("a_process_that_is_killed_keeps_no_lock", "its lock must end with it"),
    "LockThatBlocksTheLoop": ("a_process_that_is_killed_keeps_no_lock", "event loop stood still"),
    "WritesInPlace": ("what_another_process_is_writing_is_never_read_in_part", "put it in place in one step"),
    "DeletesFirst": ("what_another_process_is_writing_is_never_read_in_part", "the session vanished"),
    "ForgetsTheEnd": ("a_session_ends_a_while_after_its_last_commit", "is None"),
    "IgnoresTheVersion": ("a_commit_of_an_old_version_is_a_conflict", "DID NOT RAISE"),
    "ChecksTheVersionBeforeTheLock": ("of_many_commits_of_one_version_exactly_one_wins", "== (1, 19)"),
    "MakesFilesOfNames": ("names_that_are_much_alike", "two names lie in one place"),
    "ForgetsTooMuch": ("forgetting_a_person_leaves_the_others", "assert 3 == 2"),
    "ForgetsTooLittle": ("what_one_store_does_another_on_the_same_place_sees", "assert 0 == 1"),
    "KeepsCopies": ("what_one_store_does_another_on_the_same_place_sees", "a store that keeps a copy"),
    "HasNoLimit": ("a_session_that_is_too_large_changes_nothing", "DID NOT RAISE"),
    "StoresWhatWouldNotComeBack": ("what_would_not_come_back_is_not_stored", "DID NOT RAISE"),
}
"""By the class in `faulty_sessions` that has it: which sentence of the contract it breaks, and what is said then."""


@pytest.fixture
def plugin(root: Path, tmp_path: Path) -> Path:
    """Write the page's files, and install the plugin where only those look who have `environ`."""
    folder = tmp_path / "sessions-files"
    page = (root / "docs/writing-a-backend.md").read_text(encoding="utf-8")
    for name, code in EXTRACT.findall(page):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code, encoding="utf-8")
    info = folder / "src/tta_sessions_files-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tta-sessions-files\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[tta.plugins]\nsessions-files = tta_sessions_files:SessionsFiles\n")
    return folder


def environ(plugin: Path) -> Mapping[str, str]:
    ours = {key: value for key, value in os.environ.items() if not key.startswith(("TTA_", "PYTEST_"))}
    return ours | {"PYTHONPATH": str(plugin / "src")}


def run_tests(plugin: Path, file: Path, names: str = "test") -> ET.Element:
    """Run a file's tests as the author of the plugin would; return the report."""
    report = plugin / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", f"--rootdir={plugin}", f"-c{plugin / 'pyproject.toml'}"]
    command += ["-p", "no:cacheprovider", f"--junitxml={report}", "-k", names, str(file)]
    done = subprocess.run(command, cwd=plugin, env=environ(plugin), capture_output=True, text=True, check=False)
    assert report.exists(), done.stdout + done.stderr
    return ET.parse(report).getroot()


def test_the_page_s_plugin_passes_the_contract(plugin: Path) -> None:
    report = run_tests(plugin, plugin / "tests/test_contract.py")
    failed = ["".join(each.itertext()) for case in report.iter("testcase") for each in case]
    assert failed == []
    assert sum(1 for _ in report.iter("testcase")) > 40


@pytest.mark.slow
@pytest.mark.timeout(120)  # fifteen stores, some of which are tried by several processes
def test_a_store_with_a_fault_is_refused_and_told_which(plugin: Path) -> None:
    names = " or ".join(f"(Test{fault} and {sentence})" for fault, (sentence, _) in FAULTS.items())
    report = run_tests(plugin, Path(__file__).with_name("faulty_sessions.py"), names)
    said = dict.fromkeys(FAULTS, "")
    for case in report.iter("testcase"):
        # Its text shows the test's source, too; the message is only what was said.
        said[case.get("classname", "").rpartition(".Test")[2]] += "".join(part.get("message", "") for part in case)
    assert {fault: said[fault] for fault, (_, wanted) in FAULTS.items() if wanted not in said[fault]} == {}


def test_the_plugin_takes_the_place_of_the_sessions_in_memory(plugin: Path, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text((plugin / "config/base.yaml").read_text())
    (tmp_path / "development.yaml").write_text("{}\n")
    command = [sys.executable, "-m", "tta_program", "plugins", "--config", str(tmp_path)]
    shown = subprocess.run(command, env=environ(plugin), capture_output=True, text=True, timeout=40, check=False)
    lines = {line.split()[0]: line for line in shown.stdout.splitlines() if line.strip()}
    assert "sessions-files" in lines["sessions-memory"], shown.stdout + shown.stderr
    assert "ready" in lines["sessions-files"], shown.stdout + shown.stderr
