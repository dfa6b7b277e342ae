"""A guard as an OpenAI-compatible server: one process, one model, a bounded queue, no unchecked answer.

`wire.py` reads requests and writes replies, `desk.py` is the queue before the guard, `app.py` has the routes, `run.py`
starts and stops the server. The command is `tritrace serve`.
"""
