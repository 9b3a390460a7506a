"""Light curves from Gaia's bulk files: ECSV tables, one row a source, with arrays as cells."""
