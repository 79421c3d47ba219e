"""What every process of the cluster counts and measures of itself, for Prometheus, collectors, functions and people."""
