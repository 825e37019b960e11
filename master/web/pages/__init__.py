"""The pages, a module each: what a page shows, as plain data."""
