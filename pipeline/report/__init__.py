"""The report of a run: plots, tables, the HTML page and the terminal summary."""
