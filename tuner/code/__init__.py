"""The user's code: find, import, check and fingerprint it, and send it to other nodes."""
