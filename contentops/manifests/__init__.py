"""Manifests: YAML files that declare items, from bytes on disk to rendered specs."""
