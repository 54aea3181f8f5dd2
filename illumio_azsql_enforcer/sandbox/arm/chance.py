"""Every random value of the simulated Azure, from one source: the same ones again for the same seed."""

import random
from collections.abc import MutableSequence
from uuid import UUID


class Chance:
    """Ids, tokens and shuffles. Without a seed nobody can guess them; with one, they are the same each time."""

    def __init__(self, seed: int | None = None) -> None:
        # A seed is for tests that want the same ids twice; the tokens are worth nothing outside this process.
        self._random = random.SystemRandom() if seed is None else random.Random(seed)  # noqa: S311

    def uuid(self) -> str:
        """A random GUID."""
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def hex(self, size: int) -> str:
        """That many random bytes in hexadecimal."""
        return self._random.randbytes(size).hex()

    def shuffle(self, items: MutableSequence[object]) -> None:
        """Put the items into another order, in place."""
        self._random.shuffle(items)
