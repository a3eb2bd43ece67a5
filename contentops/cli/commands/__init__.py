"""The commands, one module each; small ones share one."""
