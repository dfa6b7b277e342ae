"""Different ways of training that must give the same trajectory, within stated tolerances."""
