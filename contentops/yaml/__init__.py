"""Reads and writes YAML for the whole program: values with positions, and findings instead of exceptions.

- `read`: a file (manifest, settings, data); every problem with its location
- `mapping`: the top-level entries of front matter with their extents, for editing in place
- `builder`: values from the events of PyYAML's parser; `syntax` reads scalars and explains errors
- `positions`: Map, Seq and Source with the position of each value; `finding` points there
- `write`: front matter that every other reader reads the same
"""
