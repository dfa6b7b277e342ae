"""The pocket world: small drawn scenes and templated queries with exact labels; needs no download."""
