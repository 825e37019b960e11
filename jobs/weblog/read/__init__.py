"""From files to whole lines: each line of a file is in exactly one range."""
