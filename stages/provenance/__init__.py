"""What was made from what, and whether it still is: manifests, the chain between them, and what is trusted."""
