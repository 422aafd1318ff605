"""What predictions carry, against what the model was trained on."""
