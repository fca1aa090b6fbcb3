//! What the Docker API returns: schemas, how they nest, the class of every field.
