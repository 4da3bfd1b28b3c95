"""Comparisons with other tools. ``python -m benchmarks`` runs them and writes the tables."""
