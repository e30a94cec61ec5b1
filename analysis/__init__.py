"""Arrays in, frozen results out: LDA, nearest neighbours, Mel spectrograms, statistics. Knows no file and no corpus."""
