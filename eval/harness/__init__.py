"""Reads the results of other harnesses about general ability: lm-evaluation-harness and VLMEvalKit.

`stages.results.harness` runs the harnesses. This package measures and rescales nothing: values are as the harness
reports them.
"""
