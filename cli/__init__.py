"""The `quantumai` command: one file per group of commands, each importing what it needs only when it runs."""
