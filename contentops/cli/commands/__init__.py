"""The commands, one module for each; small related commands share a module."""
