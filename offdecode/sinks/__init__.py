"""Rows to their forms: JSON lines, Parquet, CSV, text."""
