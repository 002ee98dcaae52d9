"""Makes models from folders of pictures and proves them before a node accepts them."""
