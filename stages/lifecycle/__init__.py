"""From a recipe to a finished stage: training, resuming, and each way in which it can end."""
