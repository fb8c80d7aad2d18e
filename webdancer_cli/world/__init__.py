"""A fictional web: entities, their relations and the pages that tell of them, all computed from a seed."""

from webdancer_cli.world.plain_world import Entity, PlainWorld, WorldFact

__all__ = ["Entity", "PlainWorld", "WorldFact"]
