"""Texts are followed from an agent to each surface: nothing is read that nobody has checked."""
