"""The curriculum over training seeds, imitated machines and bases: what a promised number rests on."""
