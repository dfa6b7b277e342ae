"""The pictures of the pocket world: a scene, its shapes, and the drawing."""
