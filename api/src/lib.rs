//! REST, OpenAPI, problems, static files, metrics.
