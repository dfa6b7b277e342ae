"""Results of evaluations: samples, outcomes, metrics, tables and comparisons."""
