"""Compare ratios within one run; absolute times promise nothing."""
