"""Exports a trained stage as a folder that plain transformers and peft can load, with its card and its plans."""
