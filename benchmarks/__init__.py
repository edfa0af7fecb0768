"""Speed, measured: every command compares its subjects in one run, in turns, so that a noisy machine favours none."""
