"""The benchmarks, `python -m bench`. Many figures are ratios to a measurement in the same run."""
