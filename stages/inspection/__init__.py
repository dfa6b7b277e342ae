"""The evaluation for Inspect (inspect_ai): tasks, scorers, and our checkpoints as its models.

    inspect eval tritrace/pocket-test --model tritrace/runs/pocket/seed-0/grpo
    inspect view

Inspect finds all of it by the entry point that pyproject.toml declares (`registry.py`). Scores, metrics and intervals
are those of `eval/`; here they only meet Inspect's interfaces. Needs the extra `inspect`.
"""
