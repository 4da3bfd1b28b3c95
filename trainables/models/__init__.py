"""The networks that a sweep file names: MLP, CNN, transformer, and those whose layers are searched."""
