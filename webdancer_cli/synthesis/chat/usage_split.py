"""What a call took, shared out among the records that it made."""

from webdancer_cli.data.records import Usage


def split_usage(usage: Usage, parts: int) -> list[Usage]:
    """``parts`` usages, as equal as whole numbers can be, that add up to ``usage``; the first ones get what is over."""
    if not parts:
        return []
    nanos = None if usage.cost is None else _split(round(usage.cost * 1e9), parts)
    calls, read = _split(usage.calls, parts), _split(usage.input_tokens, parts)
    said, cached = _split(usage.output_tokens, parts), _split(usage.cached_tokens, parts)
    return [
        Usage(
            calls=calls[part],
            input_tokens=read[part],
            output_tokens=said[part],
            cached_tokens=cached[part],
            cost=None if nanos is None else nanos[part] / 1e9,
        )
        for part in range(parts)
    ]


def _split(whole: int, parts: int) -> list[int]:
    each, over = divmod(whole, parts)
    return [each + (part < over) for part in range(parts)]
