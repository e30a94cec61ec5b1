"""One module per figure of the paper: draw(ax, data), and the CSV it drew from."""
