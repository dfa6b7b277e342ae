"""The queries of the pocket world: their kinds, their sentences, their labels and answers."""
