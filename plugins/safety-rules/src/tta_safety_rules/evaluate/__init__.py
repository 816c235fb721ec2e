"""Measure the checks on labelled texts: `tta safety evaluate`."""
