"""Reads and writes YAML for the whole program. Problems become findings with a position, not exceptions.

- `read` reads a file (manifest, settings, data); `syntax` reads scalars and explains errors
- `mapping` reads the top-level entries of front matter with their positions, for editing in place
- `positions` has the events of PyYAML's parser, the position of each value, and `finding`, which points to it
- `write` writes front matter that all other programs read in the same way
"""
