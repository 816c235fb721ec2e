"""Notifications under faults of channels, processes and Redis: none is lost, and no machine acknowledges one."""
