"""YAML as the whole program reads and writes it: values with positions, and findings instead of exceptions.

- `read`: a file (manifest, settings, data); every problem at its place
- `mapping`: the top-level entries of front matter with their extents, for editing in place
- `builder`: values from the events of PyYAML's parser; `syntax` says what things mean
- `positions`: Map, Seq and Source know where each value was written; `finding` points there
- `write`: front matter that every other reader reads the same
"""
