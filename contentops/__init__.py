"""contentops manages AI-written content as Terraform manages infrastructure."""

__version__ = "0.1.0"
