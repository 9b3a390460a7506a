"""Where stars and transits come from: local files and the simulator."""
