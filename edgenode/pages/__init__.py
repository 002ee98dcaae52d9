"""Pages that a command serves to the person who started it: labelling pictures, drawing regions."""
