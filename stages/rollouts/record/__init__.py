"""The record of every rollout: the reward function that TRL calls, the files, the numbers of a step."""
