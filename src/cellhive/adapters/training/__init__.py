"""What a training leaves on disk: checkpoints, its curve, TensorBoard files."""
