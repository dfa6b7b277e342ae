"""The runs in MLflow: what is logged, where it is stored, and how it is shown again."""
