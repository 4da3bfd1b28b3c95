"""The engine: the only part that starts or joins a cluster. Importing it does not import Ray."""
