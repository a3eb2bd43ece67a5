"""The commands of `contentops`. Small related commands share a module."""
