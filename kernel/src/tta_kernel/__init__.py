"""A small kernel for systems made of plugins."""

from __future__ import annotations

from .context import Context, Restart
from .errors import ConfigError, KernelError, NotReady, PluginError, Problem, raised_at
from .events import Event, EventBus, Subscription, correlation_id
from .hooks import Hooks, hookimpl, hookspec
from .hookspecs import Figure, Health
from .isolation import Escaped, as_failure
from .kernel import KERNEL, Kernel
from .lifecycle import PluginStateChanged
from .plugin import NoConfig, Plugin
from .records import State
from .services import Service
from .settings import ConfigPath, KernelSettings, PluginSettings, Secret
from .spelling import suggest
from .units import LONGEST, Duration, PositiveDuration, Size, check_count, check_duration

__all__ = [
    "KERNEL", "LONGEST", "ConfigError", "ConfigPath", "Context", "Duration", "Escaped", "Event",
    "EventBus", "Figure", "Health", "Hooks", "Kernel", "KernelError", "KernelSettings", "NoConfig", "NotReady",
    "Plugin", "PluginError", "PluginSettings", "PluginStateChanged", "PositiveDuration", "Problem",
    "Restart", "Secret", "Service", "Size", "State", "Subscription", "as_failure", "check_count", "check_duration",
    "correlation_id", "hookimpl", "hookspec", "raised_at", "suggest",
]  # fmt: skip
