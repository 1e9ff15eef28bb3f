"""What belongs to the process that gagjax runs in: which modules it has loaded."""
