"""The peers of `bench/workflows.py`, each in the idiom of its own documentation."""
