"""The nouns that the rooms hand to each other. Pure: no I/O, no clock."""
