"""What only the scheduler knows of captured requests, as it travels with its output to the processes that run the model."""

from __future__ import annotations

from dataclasses import dataclass, field

#: Attribute of the scheduler's output.
NEWS = "moescope_news"

#: How a request ended. Stop strings are found outside of the engine, which is then told to abort: such a request counts as aborted here,
#: and who has its output knows better.
COMPLETE, ABORTED, FAILED = "complete", "aborted", "failed"


@dataclass(frozen=True)
class Ended:
    """The end of a captured request. settled: as in :class:`News`."""

    key: str
    sample: int
    prompt: int
    settled: int
    how: str


@dataclass(frozen=True)
class News:
    """settled: of the step's captured requests, how many of their first rows are certainly their own: those of the prompt, and of every
    token that is known and has another one behind it. Rows beyond may turn out not to be: a draft can be rejected, and under async
    scheduling a step may have begun for a token that follows the end. ended: requests that ended since the step before."""

    settled: dict[str, int] = field(default_factory=dict)
    ended: dict[str, Ended] = field(default_factory=dict)
