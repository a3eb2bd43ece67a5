"""The tools of `contentops mcp`: write manifests, and plan. None of them spends or approves."""
