"""Reads and writes YAML for the whole program: values with positions, and findings instead of exceptions.

- `read`: a file (manifest, settings, data); every problem with its location. `syntax` reads scalars and explains errors
- `mapping`: the top-level entries of front matter with their extents, for editing in place
- `positions`: the events of PyYAML's parser, where each value is, and `finding`, which points there
- `write`: front matter that every other reader reads the same
"""
