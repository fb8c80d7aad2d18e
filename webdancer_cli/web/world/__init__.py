"""A fictional web: entities, their relations and the pages that tell of them, all computed from a seed."""

from webdancer_cli.web.world.graph import Entity, Fact, World

__all__ = ["Entity", "Fact", "World"]
