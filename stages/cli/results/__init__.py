"""Commands on what was trained: evaluate, report, compare, trace, verify."""
