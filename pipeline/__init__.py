"""From records to a trained, evaluated run folder."""
