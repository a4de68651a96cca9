"""What `export.watch` is made of: the places that images come from and answers go to, and the journal of both."""
