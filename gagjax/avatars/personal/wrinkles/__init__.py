"""Wrinkles: a person's displacement map that follows expression and jaw."""
