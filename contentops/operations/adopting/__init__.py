"""Texts that are there already become items."""
