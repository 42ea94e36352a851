//! Configuration files: TOML, and the seed's `parameter.py`.
