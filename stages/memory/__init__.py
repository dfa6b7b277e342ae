"""How much memory a stage needs: estimated from shapes, traced on fake tensors, and counted at its peak."""
