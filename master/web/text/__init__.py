"""How things are said: languages, numbers, durations, times, and the templates."""
