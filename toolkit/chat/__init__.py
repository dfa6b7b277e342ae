"""Asking a chat model behind any OpenAI-compatible endpoint: retries, deadlines, token counts, replies kept for good.

What is asked, and what becomes of a reply, is for those who ask: the LLM judge (`eval/judges/`) and the teacher
(`data/teacher/`). Needs the extra `judge` (`pip install '.[judge]'`).
"""
