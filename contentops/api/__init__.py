"""The only code that knows HTTP: calls out, replies or failures back."""
