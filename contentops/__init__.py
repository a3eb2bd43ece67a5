"""contentops: Terraform for AI-written content."""

__version__ = "0.1.0"
