"""Handles texts and their files: cleans titles and bodies, edits front matter, and reads and writes output files."""
