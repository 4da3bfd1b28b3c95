"""The networks that a sweep file can name: MLP, CNN, transformer, and searched architectures."""
