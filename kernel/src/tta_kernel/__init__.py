"""A small kernel for systems made of plugins."""

from __future__ import annotations

from .blocking import BlockingKernel
from .commands import Subcommands
from .config import Duration, KernelSettings, PluginSettings, Secret, Size, load
from .errors import ConfigError, KernelError, NotReady, PluginError, Problem
from .events import Event, EventBus, Subscription, correlation_id
from .hooks import Hooks, hookimpl, hookspec
from .hookspecs import Health
from .kernel import KERNEL, Kernel
from .lifecycle import PluginStateChanged
from .plugin import Context, NoConfig, Plugin, Restart
from .reload import Reloaded
from .services import Service
from .wiring import State

__all__ = [
    "KERNEL", "BlockingKernel", "ConfigError", "Context", "Duration", "Event", "EventBus", "Health", "Hooks",
    "Kernel", "KernelError", "KernelSettings", "NoConfig", "NotReady", "Plugin", "PluginError", "PluginSettings",
    "PluginStateChanged", "Problem", "Reloaded", "Restart", "Secret", "Service", "Size", "State", "Subcommands",
    "Subscription", "correlation_id", "hookimpl", "hookspec", "load",
]  # fmt: skip
