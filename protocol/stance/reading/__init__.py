"""Reads the sentences of an answer: plain letters, sentences, speakers, and the cue of each by its wording."""
