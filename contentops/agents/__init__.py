"""The tools of `contentops mcp` for agents. They write manifests and show plans; none of them spends or approves."""
