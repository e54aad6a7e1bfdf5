"""Commits and markers to the offsets that a coordinator holds."""
