"""The harness: families x methods x budgets x backends, resumable, in Parquet with full lineage; nightly regression tests."""
