"""Rows to lines for a person."""
