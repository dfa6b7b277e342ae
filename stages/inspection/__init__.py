"""The evaluation for Inspect (inspect_ai): tasks, scorers, and our checkpoints as its models.

    inspect eval tritrace/pocket-test --model tritrace/runs/pocket/seed-0/grpo
    inspect view

Inspect finds them through the entry point in pyproject.toml (`registry.py`). Scores, metrics and intervals come from
`eval/`; this package only adapts them to Inspect's interfaces. Needs the extra `inspect`.
"""
