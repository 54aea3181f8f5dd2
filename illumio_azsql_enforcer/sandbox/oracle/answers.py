"""Yes, no, or not to be told: the three answers of the model, as numbers, so that `min` is "and" and `max` is "or"."""

from enum import IntEnum


class Answer(IntEnum):
    """An allow rule counts on YES alone; an override-deny is harmless on NO alone."""

    NO = 0
    UNKNOWN = 1
    YES = 2


def yes_if(condition: bool) -> Answer:  # noqa: FBT001 - the one argument is the whole meaning
    """YES or NO."""
    return Answer.YES if condition else Answer.NO


def opposite(answer: Answer) -> Answer:
    """Not; what cannot be told stays so."""
    return Answer(Answer.YES - answer)
