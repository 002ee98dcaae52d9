"""Drawing regions and masks on a picture of a camera: what `edgenode regions` is made of."""
