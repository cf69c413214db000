"""The decision where a job runs: a score of four documented terms, constraints that block, crypto modes end to end."""
