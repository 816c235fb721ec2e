"""Ask the Linux kernel to hold a process: namespaces, capabilities and Landlock, none of which Python 3.11 can ask for.

Numbers are those of the kernel's headers, and the same on every architecture.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWPID = 0x20000000
_CLONE_NEWNET = 0x40000000
_CLONE_NEWIPC = 0x08000000
_CAPABILITY_VERSION_3 = 0x20080522

_LANDLOCK_CREATE_RULESET = 444
_LANDLOCK_ADD_RULE = 445
_LANDLOCK_RESTRICT_SELF = 446
_LANDLOCK_CREATE_RULESET_VERSION = 1
_LANDLOCK_RULE_PATH_BENEATH = 1

_EXECUTE = 1 << 0
_READ = 1 << 2 | 1 << 3
_OF_A_FILE = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15
"""What can be granted for a file that is no folder: execute, write, read, truncate, ioctl."""
_TCP = 1 << 0 | 1 << 1
_SCOPES = 1 << 0 | 1 << 1
"""Abstract Unix sockets, and signals: neither goes to a process that isn't held likewise."""

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> int:
    result = int(getattr(_libc, name)(*arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


def die_with_parent(signal: int) -> None:
    """Have ``signal`` sent to this process when its parent ends."""
    _call("prctl", _PR_SET_PDEATHSIG, signal, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of each descendant whose own parent ends, however often it forked."""
    _call("prctl", _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def gain_nothing() -> None:
    """Drop all capabilities, which root has, and never gain a privilege again, such as by a set-uid program."""
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    none = (ctypes.c_uint32 * 6)()
    _call("capset", header, none)


def enter_namespaces(*, network: bool) -> None:
    """Give this process a user namespace of its own, and its next child one of processes, in which that is the first.

    When the first process ends, the kernel kills all others in there: nothing a tool starts can stay. Unless
    ``network``, there is none but a loopback device that is down.
    """
    user, group = os.getuid(), os.getgid()
    _call("unshare", _CLONE_NEWUSER | _CLONE_NEWPID | _CLONE_NEWIPC | (0 if network else _CLONE_NEWNET))
    # Who one is stays the same. Groups can't be changed any more, or the kernel refuses the second map.
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{user} {user} 1")
    _write("/proc/self/gid_map", f"{group} {group} 1")


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def landlock_version() -> int:
    """Return which edition of Landlock the kernel has; 0 where there is none."""
    version = _libc.syscall(
        ctypes.c_long(_LANDLOCK_CREATE_RULESET), None, ctypes.c_size_t(0), _LANDLOCK_CREATE_RULESET_VERSION
    )
    return max(0, int(version))


def restrict(*, writable: Iterable[str], readable: Iterable[str], execute: bool, network: bool) -> None:
    """Let this process, and what it starts, use no file but those below ``writable`` and ``readable``, for good.

    Unless ``network``, TCP is refused, too (from edition 4 on); UDP is for namespaces to refuse.
    """
    version = landlock_version()
    # Each edition knows more rights; a right that isn't known can't be refused.
    rights = (1 << (13, 13, 14, 15, 15)[version] if version < 5 else 1 << 16) - 1
    attributes = [rights]
    if version >= 4:
        attributes.append(0 if network else _TCP)
    if version >= 6:
        attributes.append(_SCOPES)
    handled = (ctypes.c_uint64 * len(attributes))(*attributes)
    rules = _call(
        "syscall", ctypes.c_long(_LANDLOCK_CREATE_RULESET), handled, ctypes.c_size_t(ctypes.sizeof(handled)), 0
    )
    allowed = rights if execute else rights & ~_EXECUTE
    for path in writable:
        _allow(rules, path, allowed)
    for path in readable:
        _allow(rules, path, _READ | (_EXECUTE if execute else 0))
    _call("syscall", ctypes.c_long(_LANDLOCK_RESTRICT_SELF), rules, 0)
    os.close(rules)


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def _allow(rules: int, path: str, rights: int) -> None:
    try:
        file = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        # Not every system has every folder, and what isn't there can't be used.
        return
    if not os.path.isdir(path):
        rights &= _OF_A_FILE
    rule = _PathBeneath(rights, file)
    _call("syscall", ctypes.c_long(_LANDLOCK_ADD_RULE), rules, _LANDLOCK_RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    os.close(file)
