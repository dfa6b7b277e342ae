"""The teacher: a chat model behind an OpenAI-compatible endpoint writes the traces and answers of SFT rows.

A reply is read as a trained responder's would be, with every rule; what is wrong with it goes back to the teacher a
bounded number of times. Every reply is kept under the hash of its question, so a run that was killed goes on where it
was and asks nothing twice. The command is `tritrace data synthesize` (`stages/cli/rows/generated/synthesize.py`).
"""
