"""Who may see the pages and who may act: tokens, cookies, and what a request must not be."""
