"""Side-by-side measurements; ``python -m benchmarks`` runs them and writes the tables."""
