"""The memory of a stage: estimated from shapes, traced on fake tensors, and measured at its peak."""
