"""Rows: read, divided, preprocessed, and shared by the trials of a machine."""
