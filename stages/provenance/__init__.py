"""The origin of models: manifests, the chain between them, and the decision what to trust."""
