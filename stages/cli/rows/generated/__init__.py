"""Commands whose rows come from a model: pairs and curation sample a policy, synthesis asks a teacher."""
