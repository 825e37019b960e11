"""From the summary of a run to what people look at."""
