"""Arrays of numpy, tables of Arrow and pandas as plain data."""
