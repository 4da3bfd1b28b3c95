"""The rows of a data set: read, divided, preprocessed, and shared by the trials of a machine."""
