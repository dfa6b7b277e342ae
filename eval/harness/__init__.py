"""General ability as other harnesses measure it: what lm-evaluation-harness and VLMEvalKit wrote, read back.

Running them is for `stages.results.harness`. Nothing is measured or rescaled here: a value
is what the harness reports.
"""
