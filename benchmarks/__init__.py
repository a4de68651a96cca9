"""Images per second of every stage, beside its peers and its limit, in one run."""
