"""What a body is, and what it refers to: pages, style sheets, sitemaps, pictures."""
