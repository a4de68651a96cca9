"""What every command of the project is made of: the command line, errors, files, locks, progress and threads."""
