"""Files of ARKit's 52 weights: Live Link Face, LAM's and NVIDIA's audio drivers, MediaPipe."""
