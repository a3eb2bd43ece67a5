"""The tools of `contentops mcp`: write manifests, and plan. Spending needs a plan that a person approved."""
