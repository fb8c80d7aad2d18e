"""A stage over many parts: here, on a cluster's engine, or one part in each job of a scheduler."""
