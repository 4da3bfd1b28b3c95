"""The user's code: how it is found, imported, checked, told from changed code, and sent to other nodes."""
