"""Commits results to git, and shows plans in comments on pull requests."""
