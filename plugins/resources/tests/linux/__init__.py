"""Hosts and containers of all kinds, as trees of files."""
