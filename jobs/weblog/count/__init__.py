"""From columns to summaries that can be merged in any order."""
