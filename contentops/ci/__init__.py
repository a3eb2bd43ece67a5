"""Puts results into git and plans onto pull requests."""
