"""Preflight: checks of a stage before training.

    tritrace preflight --config stages/recipes/pocket/sft.yaml --model MODEL

There is a module each for rows, lengths in tokens, loss mask, reward, disk and memory; each returns a `Section` of
findings. No weights are read. `check.py` runs them all, for the command line and for every stage before it loads its
model. `stages/rehearsal/measure.py` really runs two steps of the longest row.
"""
