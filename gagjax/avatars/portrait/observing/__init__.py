"""From pictures to sightings: the head found and fitted, the matte drawn to the edges."""
