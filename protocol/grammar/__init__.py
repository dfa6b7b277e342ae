"""The grammar of a plan, the strict parser, and the shortest way to finish a response."""
