"""The pocket model: a Qwen2.5-VL of a few million parameters, pretrained here from scratch on the pocket world."""
