"""Arrays in, frozen results out: LDA, kNN, Mel spectrograms, statistics. Knows no file and no corpus."""
