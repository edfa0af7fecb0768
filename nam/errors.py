"""Mistakes in what nam was given, told in one sentence with the repair."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something nam was given is wrong: a value, a file, a dataset.

    Its message is one sentence that says what and how to repair it; a command prints that sentence alone and exits
    with `status`. It stays on one line, whatever was received.
    """

    status = 2

    def __init__(self, sentence: str):
        super().__init__(" ".join(sentence.splitlines()))


def first_line(error: BaseException) -> str:
    """What an error says, for one sentence: the first line of its message, or its name where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """` Did you mean 'glimpses'?` for the option nearest to `word`, else a list of them all."""
    options = sorted(options)
    near = difflib.get_close_matches(word, options, n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else f" Known: {', '.join(options)}."
