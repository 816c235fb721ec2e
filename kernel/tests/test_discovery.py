"""What becomes of plugins that are installed badly; each in a made-up distribution on sys.path."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tta_kernel import ConfigError, Kernel, KernelSettings, PluginSettings, State

Ship = Callable[..., Path]
PLUGIN = "from tta_kernel import NoConfig, Plugin\nclass P(Plugin[NoConfig]): pass\n"


def only(*names: str, required: bool = True) -> KernelSettings:
    return KernelSettings(autoload=False, plugins={name: PluginSettings(required=required) for name in names})


def test_an_installed_plugin_is_found_through_its_entry_point(ship: Ship) -> None:
    ship("shipped-well", "shipped-well = shipped_well:P", PLUGIN)
    record = Kernel(only("shipped-well")).records["shipped-well"]
    assert (record.state, record.found.distribution, record.found.version) == (State.READY, "shipped-well", "1.0")


def test_a_plugin_that_fails_on_import_is_named_with_the_error(ship: Ship) -> None:
    ship("bad-import", "bad-import = bad_import:P", "raise OSError('no libfoo')")
    with pytest.raises(ConfigError, match=r"importing bad_import raised OSError: no libfoo at \S+/bad_import.py:1"):
        Kernel(only("bad-import"))
    optional = Kernel(only("bad-import", required=False))
    assert optional.records["bad-import"].state is State.FAILED


@pytest.mark.parametrize(
    ("code", "where"),
    [
        ("import os\n\nraise OSError", "placed.py:3"),
        ("from os import nothing", "placed.py:1"),
        ("a b", "placed.py', 1"),
    ],
)
def test_an_import_that_ends_badly_is_told_with_file_and_line(ship: Ship, code: str, where: str) -> None:
    sys.modules.pop("placed", None)
    ship("placed", "placed = placed:P", code)
    with pytest.raises(ConfigError) as caught:
        Kernel(only("placed"))
    assert where in str(caught.value)


def test_a_disabled_plugin_is_not_even_imported(ship: Ship) -> None:
    ship("bad-disabled", "bad-disabled = bad_disabled:P", "raise OSError")
    assert Kernel(only()).records["bad-disabled"].state is State.DISABLED


@pytest.mark.parametrize("code", ["", "class P: pass"])
def test_an_entry_point_without_a_plugin_class_is_named(ship: Ship, code: str) -> None:
    module = "classless" if code else "empty_module"
    ship(module, f"classless = {module}:P", code)
    with pytest.raises(ConfigError, match=f"{module}:P is no subclass of"):
        Kernel(only("classless"))


def test_a_plugin_that_needs_another_kernel_says_which(ship: Ship) -> None:
    ship("too-new", "too-new = too_new:P", PLUGIN, requires="tta-kernel>=99")
    with pytest.raises(ConfigError, match=r"too-new 1\.0 needs tta-kernel>=99, this is"):
        Kernel(only("too-new"))


def test_what_is_left_of_a_distribution_spoils_nothing_but_its_own_plugins(ship: Ship) -> None:
    ship("shipped-well", "shipped-well = shipped_well:P", PLUGIN)
    site = ship("half-gone", "half-gone = half_gone:P", PLUGIN)
    (site / "half_gone-1.0.dist-info" / "METADATA").unlink()
    with pytest.raises(ConfigError, match=r"'half-gone': what ships it has no metadata; .* remove the rest of it in"):
        Kernel(only("shipped-well", "half-gone"))
    records = Kernel(only("shipped-well")).records
    assert (records["shipped-well"].state, records["half-gone"].found.distribution) == (State.READY, "")


@pytest.mark.parametrize("value", ["", "no:such:thing", "not a name"])
def test_an_entry_point_that_cannot_be_read_spoils_nothing_but_its_plugin(ship: Ship, value: str) -> None:
    ship("shipped-well", "shipped-well = shipped_well:P", PLUGIN)
    ship("misspelt", f"misspelt = {value}")
    with pytest.raises(ConfigError, match=f"'misspelt': its entry point '{value}' cannot be read; mend it in misspelt"):
        Kernel(only("shipped-well", "misspelt"))
    assert Kernel(only("shipped-well")).records["misspelt"].state is State.DISABLED


def test_a_requirement_of_a_plugin_that_is_not_for_the_kernel_is_not_judged(ship: Ship) -> None:
    ship("old-fashioned", "old-fashioned = old_fashioned:P", PLUGIN, requires="other (>=1.0.*)")
    assert Kernel(only("old-fashioned")).records["old-fashioned"].state is State.READY


def test_a_requirement_for_the_kernel_that_cannot_be_read_is_named(ship: Ship) -> None:
    ship("unclear", "unclear = unclear:P", PLUGIN, requires="TTA_kernel (>=1.0.*)")
    with pytest.raises(ConfigError, match=r"'unclear': it needs 'TTA_kernel \(>=1\.0\.\*\)', which cannot be read"):
        Kernel(only("unclear"))


def test_one_name_in_two_distributions_names_both(ship: Ship) -> None:
    ship("first-twin", "twin = first_twin:P", PLUGIN)
    ship("second-twin", "twin = second_twin:P", PLUGIN)
    with pytest.raises(ConfigError, match="both first-twin and second-twin install a plugin of that name"):
        Kernel(only("twin"))


@pytest.mark.parametrize("first", ["0.9", "1.1"])
def test_what_an_interrupted_upgrade_leaves_behind_is_not_installed(ship: Ship, first: str) -> None:
    """pypa/pip #11849: `~mbrella-0.9.dist-info`, of which pip says "Ignoring invalid distribution"."""
    site = ship("umbrella", "umbrella = umbrella:P", PLUGIN, version=first)
    (site / f"umbrella-{first}.dist-info").rename(site / f"~mbrella-{first}.dist-info")
    ship("umbrella", "umbrella = umbrella:P", PLUGIN, version="1.0")
    kernel = Kernel(only("umbrella"))
    assert kernel.records["umbrella"].found.version == "1.0"


def test_of_two_copies_of_a_distribution_the_one_that_is_imported_counts(
    ship: Ship, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = tmp_path / "behind"
    ship("copied", "copied = copied:P", PLUGIN, version="1.0").rename(behind)
    (tmp_path / "site").mkdir()
    ship("copied", "copied = copied:P", PLUGIN, version="2.0")
    monkeypatch.setattr(sys, "path", [*sys.path, str(behind)])
    assert Kernel(only("copied")).records["copied"].found.version == "2.0"
