"""What can go wrong, by who has to act on it.

Every message is one line that names the offending value and the remedy. The front door turns these into exit codes;
nothing below it prints or exits.
"""

EXIT_OK = 0
EXIT_SOME_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class WebdancerError(Exception):
    """Base of all errors that a user is told about in one line."""

    exit_code = EXIT_SOME_FAILED


class UsageError(WebdancerError):
    """A flag, a file or a configuration that cannot work; raised before any work or cost."""

    exit_code = EXIT_USAGE


class ModelError(WebdancerError):
    """The policy or an LLM role could not answer. Never a completion, never a zero score."""


class RunStopped(WebdancerError):
    """No further call may or can be made: the run ends there, and what is finished is kept."""


class BudgetSpent(RunStopped):
    """``--max-cost`` or ``--max-tokens`` is reached: no further call may be made, what is finished is kept."""


class ServiceRefused(RunStopped):
    """A service that the run stands on will answer no further call: a wrong key, no credit, a closed account."""


class ToolError(WebdancerError):
    """A tool call failed in a way that the policy should read as an observation.

    ``lasts`` is True for an answer that would be the same if it was asked for again: no such page, not allowed, not a
    type that can be read.
    """

    def __init__(self, text: str, *, lasts: bool = False):
        super().__init__(text)
        self.lasts = lasts


class Outage(WebdancerError):
    """A service that the tools stand on (search, reader, summariser) gave no answer, however often it was asked.

    No observation: it would teach the policy about the outage. The episode ends, as a failure to be tried again.
    """


class Reject(WebdancerError):
    """One record did not make it; the run goes on.

    ``reason`` is a short snake_case code that a person can count; ``detail`` is for reading. ``failed`` says which kind
    it is: True for a failure (exit code 1, tried again by ``--resume``), False for a decision of the stage.
    """

    def __init__(self, reason: str, detail: str = "", *, failed: bool = True):
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.failed = failed


class ClosedPipe(Exception):
    """The reader of our stdout went away (``| head``): stop quietly."""
