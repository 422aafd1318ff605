"""Steps of preparation as the configuration names them, a team's own functions included."""
