"""What evaluations leave behind: samples, the outcomes and metrics over them, tables and comparisons."""
