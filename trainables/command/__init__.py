"""The ``command`` trainable: a trial is a program in a process of its own."""

from trainables.command.trainable import command

__all__ = ["command"]
