"""Schedules that several processes fire, one at a time."""
