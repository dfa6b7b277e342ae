"""Handing a trained stage to others: a folder that plain transformers and peft load, with its card and its plans."""
