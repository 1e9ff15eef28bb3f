"""What a driver gives beyond the coefficients of its track."""
