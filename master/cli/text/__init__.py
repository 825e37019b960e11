"""How commands print: their lines, tables, JSON and the bar."""
