"""The file and its tables: opened, given a schema, brought to this release's schema."""
