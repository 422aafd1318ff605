"""What a profile of training data holds, and how live predictions are compared with it."""
