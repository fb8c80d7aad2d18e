"""What calls cost, and the budget that a run may spend."""

import tomllib
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

import msgspec

from webdancer_cli.data.records import Usage
from webdancer_cli.errors import BudgetSpent, UsageError
from webdancer_cli.text.encoding import decode_file

BYTES_PER_TOKEN = 4
"""An estimate for servers that do not count."""

Dollars = Annotated[float, msgspec.Meta(ge=0)]


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """US dollars per million tokens. ``cached`` input costs as much as other input if it has no price of its own."""

    input: Dollars
    output: Dollars
    cached: Dollars | None = None

    def cost(self, usage: Usage) -> float:
        cached = self.input if self.cached is None else self.cached
        fresh_tokens = usage.input_tokens - usage.cached_tokens
        dollars = fresh_tokens * self.input + usage.cached_tokens * cached + usage.output_tokens * self.output
        return round(dollars / 1e6, 9)


def find_price(model: str, path: str | None = None) -> Price | None:
    """The price of a model, from the user's table if it is there, else from the built-in one. Raises UsageError."""
    tables = [*([_table(path, Path(path))] if path else []), _table("prices.toml", files(__package__) / "prices.toml")]
    return next((table[model] for table in tables if model in table), None)


def _table(name: str, source: Path | Traversable) -> dict[str, Price]:
    try:
        return msgspec.convert(tomllib.loads(decode_file(source.read_bytes())), dict[str, Price])
    except OSError as error:
        raise UsageError(f"--prices {name}: {error.strerror}: name a readable TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise UsageError(f'--prices {name}: {error}: it takes ["MODEL"] with input, cached, output') from None


class Budget:
    """What a run may spend, all its models together."""

    def __init__(self, max_cost: float | None = None, max_tokens: int | None = None):
        self.max_cost = max_cost
        self.max_tokens = max_tokens
        self.spent = Usage()

    def check(self) -> None:
        """Raises BudgetSpent when no further call may be made. Calls under way are not cut off."""
        tokens, cost = self.spent.input_tokens + self.spent.output_tokens, self.spent.cost or 0.0
        if self.max_cost is not None and cost >= self.max_cost:
            raise BudgetSpent(f"--max-cost {self.max_cost:g} is spent (${cost:.4f}); --resume does the rest")
        if self.max_tokens is not None and tokens >= self.max_tokens:
            raise BudgetSpent(f"--max-tokens {self.max_tokens} are spent ({tokens}); --resume does the rest")


class Ledger:
    """What a run has spent on one model, out of its ``budget``; shared by all its calls."""

    def __init__(self, model: str, *, price: Price | None = None, budget: Budget | None = None):
        self.budget = budget or Budget()
        if self.budget.max_cost is not None and price is None:
            raise UsageError(f"--max-cost: {model} has no known price; give one in a table with --prices FILE")
        self.price = price
        self.total = Usage(cost=0.0 if price else None)

    def check(self) -> None:
        """Raises BudgetSpent when no further call may be made."""
        self.budget.check()

    def priced(self, usage: Usage) -> Usage:
        """The same usage with its cost, if the model has a price."""
        return msgspec.structs.replace(usage, cost=self.price.cost(usage)) if self.price else usage

    def charge(self, usage: Usage, bytes_in: int, bytes_out: int) -> None:
        """Add one call; what the server did not count is estimated from its bytes."""
        if not (usage.input_tokens or usage.output_tokens):
            usage = Usage(input_tokens=bytes_in // BYTES_PER_TOKEN, output_tokens=bytes_out // BYTES_PER_TOKEN)
        usage = msgspec.structs.replace(self.priced(usage), calls=1)
        self.total = add_usage(self.total, usage)
        self.budget.spent = add_usage(self.budget.spent, usage)

    def summary(self) -> str:
        """One line for stderr: ``12 calls, 3400 tokens in (1200 cached), 560 out, $0.0123``."""
        total = self.total
        text = f"{total.calls} calls, {total.input_tokens} tokens in ({total.cached_tokens} cached)"
        text += f", {total.output_tokens} out"
        return text if total.cost is None else f"{text}, ${total.cost:.4f}"


def add_usage(total: Usage, more: Usage) -> Usage:
    """The sum of two usages; its cost is known as far as those of the parts are."""
    costs = [cost for cost in (total.cost, more.cost) if cost is not None]
    return Usage(
        calls=total.calls + more.calls,
        input_tokens=total.input_tokens + more.input_tokens,
        output_tokens=total.output_tokens + more.output_tokens,
        cached_tokens=total.cached_tokens + more.cached_tokens,
        cost=round(sum(costs), 9) if costs else None,
    )
