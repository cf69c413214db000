"""Analyses that run by the clock: daily, weekly and monthly, each once for its period."""
