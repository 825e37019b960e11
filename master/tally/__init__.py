"""What the master counts while it works: cheap sums by job, and histograms of seconds."""
