"""The browser page: the model runs in the visitor's browser, the server only hands out files."""
