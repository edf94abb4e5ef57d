"""The rows of models: versions, the routes of aliases, promotion, imports, removal."""
