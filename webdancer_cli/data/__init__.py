"""Records between stages: their types, reading and writing them, and carrying them through a stage."""
