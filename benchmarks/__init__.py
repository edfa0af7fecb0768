"""Speed, measured; what is compared is timed in one run, in turns, so that a noisy machine favours none."""
