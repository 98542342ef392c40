"""What a person can choose for a recording, without what is needed to carry it out: a command line reads it at once."""

THRESHOLD = 0.5  # of confidence, below which no class is said; what it costs and gains: results/abstain.json
NETWORK = "rhythm"  # of those that ship, the one that does best on persons never met
FORMATS = ("csv", "alqa", "json", "png", "svg", "pdf")  # suffixes, with a writer each in flow.recordings.outputs
DEFAULT_FORMATS = FORMATS[:4]
