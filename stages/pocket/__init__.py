"""The pocket model: a Qwen2.5-VL with a few million parameters, pretrained from scratch on the pocket world."""
