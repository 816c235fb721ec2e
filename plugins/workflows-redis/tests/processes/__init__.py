"""Runs that several processes work on, one after the other."""
