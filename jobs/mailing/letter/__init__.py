"""A message: what a payload asks for, its bytes, its signature."""
