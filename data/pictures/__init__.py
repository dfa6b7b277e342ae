"""Opening pictures, and the pixels that models and judges are shown."""
