"""A signed distance field of a person's head, its surface by marching tetrahedra, and fitting both to a clip."""
