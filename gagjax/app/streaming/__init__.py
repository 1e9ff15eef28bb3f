"""Real-time enhancement: live tracks, live frames, and concurrent pipeline stages."""
