"""The browser page: the model runs in the browser, and the server only sends files."""
