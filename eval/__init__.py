"""Evaluation of responses and checkpoints: policies, scores, judges, metrics, report.

This package is below `stages`, because training uses it: rewards are computed from the scores that are reported here.
"""
