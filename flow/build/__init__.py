"""The steps from records to report: settings, products and their cache, provenance, workers, result files."""
