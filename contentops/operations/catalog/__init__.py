"""What a server offers: templates, styles, verticals, brand voices."""
