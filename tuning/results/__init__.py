"""What a search found: leaderboard, confirmation, importance, plots, page."""
