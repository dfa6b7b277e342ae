"""Tracking in MLflow: logging of runs, the store, and the list of runs."""
