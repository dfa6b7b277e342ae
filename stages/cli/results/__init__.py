"""Commands for results of training: evaluate, report, compare, trace, verify."""
