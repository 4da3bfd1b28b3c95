"""Hyperparameters and settings of the trainables as typed models; importing this imports nothing heavy."""
