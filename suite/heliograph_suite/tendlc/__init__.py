"""`heliograph 10dlc`: where registrations stand and what to do about it, papers that move, and the desk of who decides."""
