"""Storage of results: checks of a results folder, its lock, and atomic checkpoints."""
