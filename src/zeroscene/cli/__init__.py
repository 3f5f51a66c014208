"""The command line; imports nothing heavy at start."""
