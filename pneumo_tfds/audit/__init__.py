"""Report what a source holds and what is wrong with it: duplicates, leaks, damaged files, class differences."""
