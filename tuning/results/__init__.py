"""Results of a search: leaderboard, confirmed candidates, importance, plots, page and TensorBoard logs."""
