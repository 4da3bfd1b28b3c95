"""The ``command`` trainable: a trial is a program in a separate process."""

from trainables.command.trainable import command

__all__ = ["command"]
