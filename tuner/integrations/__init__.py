"""Callbacks that report to ``tuner.client`` from the trainers of other libraries."""
