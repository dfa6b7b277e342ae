"""What a response is worth and what a checkpoint does: policies, scores, judges, metrics, report.

Below `stages`, because one can only train towards what one can measure: a reward is made of the scores reported here.
"""
