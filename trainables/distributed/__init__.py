"""Data-parallel training: the processes of one trial compute the rows of each batch together."""
