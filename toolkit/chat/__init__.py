"""Asking a chat model behind any OpenAI-compatible endpoint: retries, deadlines, token counts, replies kept for good.

The caller decides what is asked and what becomes of a reply: the LLM judge (`eval/judges/`) and the teacher
(`data/teacher/`). Needs the extra `judge` (`pip install '.[judge]'`).
"""
