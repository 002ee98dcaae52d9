"""From kept pictures to a training folder: what `edgenode label` is made of."""
