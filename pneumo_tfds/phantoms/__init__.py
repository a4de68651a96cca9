"""Phantoms: drawn images that stand in for X-rays where there are none."""
