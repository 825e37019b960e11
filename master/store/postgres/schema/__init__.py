"""The tables of the schema: made at the first start, brought to this release's version later."""
