"""Scripted conversations with the whole system, and the rubric that they are judged by."""
