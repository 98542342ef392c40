"""Pages made from results: report, README, model card, notebooks."""
