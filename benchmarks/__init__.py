"""Measurements: what each prints is quoted in docs/benchmarks.md with command and date."""
