"""GRPO's rollouts: how they are sampled, judged, corrected and written down."""
