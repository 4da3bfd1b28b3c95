"""Where results are kept: folders that may be full or shared, their lock, whole checkpoints."""
