"""Rows to what they mean together: groups, offsets, movements."""
