//! Predictors from checkpoints, populations, and evaluation image by image.
