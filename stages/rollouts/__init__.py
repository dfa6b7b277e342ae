"""GRPO's rollouts: sampling, judging, correcting and recording."""
