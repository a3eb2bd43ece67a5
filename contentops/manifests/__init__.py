"""Reads manifests, which are YAML files that declare items, and renders and checks the items."""
