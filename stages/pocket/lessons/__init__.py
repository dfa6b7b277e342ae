"""The lessons of the pocket model: conversations about scenes, and their batches of tensors."""
