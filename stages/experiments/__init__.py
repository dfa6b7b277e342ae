"""Experiments: train, evaluate and compare declared variants of the stages from the same parents."""
