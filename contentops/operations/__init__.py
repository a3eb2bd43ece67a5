"""Contains the use cases of the commands, one in each file."""
